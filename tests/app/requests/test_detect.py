"""An option of a request stands in two places: in the schema of the wire and in what the service takes."""

from inspect import signature

from yoloscope.app.schemas.detect import DetectOptions
from yoloscope.app.services.inference import DetectSettings


def test_the_options_of_detect_are_those_of_the_service() -> None:
    taken = list(signature(DetectSettings.for_model).parameters)
    assert list(DetectOptions.model_fields) == ["model", *taken[1:], "format"]
