"""Detection of the images of one request, in one thread each or stage by stage: the same answers, errors and times."""

import asyncio
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from tests.helpers.images import encoded
from yoloscope.app.services import detection
from yoloscope.app.services.detection import DetectQuery, DetectRun, detect
from yoloscope.app.services.inference import DetectSettings, EncodedImage, Timing, infer
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings
from yoloscope.models.detections import Detections
from yoloscope.models.errors import ImageDecodeError
from yoloscope.models.spec import DetectorSpec

LEVELS = (51, 102, 153)
ALONE, BESIDE_OTHERS = False, True


def for_model(spec: DetectorSpec) -> DetectSettings:
    return DetectSettings.for_model(spec, 0.1)


def photos(*levels: int) -> list[EncodedImage]:
    return [
        EncodedImage(encoded(Image.new("L", (64, 48), level)), f"/images/{index}") for index, level in enumerate(levels)
    ]


@pytest.fixture(params=[1, 2, 4])
def services(settings: Settings, request: pytest.FixtureRequest) -> Services:
    services = Services(settings.model_copy(update={"threads": request.param}))
    services.start()
    return services


def run(services: Services, images: list[EncodedImage]) -> DetectRun:
    return asyncio.run(detect(services, DetectQuery(images, None, for_model), Timing()))


def test_images_are_answered_in_order_with_the_times_of_their_stages(services: Services) -> None:
    done = run(services, photos(*LEVELS))
    scores = [result.detections.scores[0] for result in done.results]
    np.testing.assert_allclose(scores, [0.6, 0.7, 0.8], rtol=1e-5)
    assert set(done.timing.stages) == {"decode", "queue", "inference", "finish"}
    assert all(0 <= took_ms < 10_000 for took_ms in done.timing.stages.values())
    assert done.timing.stages["inference"] > 0
    assert done.timing.stages["decode"] > 0


def test_an_image_that_cannot_be_decoded_is_pointed_at(services: Services) -> None:
    good, bad = photos(51)[0], EncodedImage(photos(51)[0].data[:40], "/images/1")
    with pytest.raises(ImageDecodeError) as caught:
        run(services, [good, bad])
    assert caught.value.pointer == "/images/1"
    assert len(run(services, [good]).results) == 1


def test_an_image_alone_has_all_threads_and_images_beside_each_other_half(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(settings.model_copy(update={"threads": 2}))
    services.start()
    halves, meeting = list[bool](), Barrier(2)

    def noting(runtime: Runtime, *given: object, half: bool) -> object:
        halves.append(half)
        if half:
            meeting.wait(10)
        return infer(runtime, *given, half=half)  # type: ignore[arg-type]

    monkeypatch.setattr(detection, "infer", noting)
    run(services, photos(51))
    run(services, photos(51, 102))
    assert halves == [ALONE, BESIDE_OTHERS, BESIDE_OTHERS]


def test_where_a_variant_detects_as_many_images_are_at_work_as_it_wants(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(settings.model_copy(update={"threads": 2}))
    services.start()
    meeting = Barrier(4)

    class Variant:
        spec, images_at_once = services.store.get(None).spec, 4

        def detect(self, *_: object, half: bool = False) -> list[Detections]:
            assert half
            meeting.wait(10)
            return [Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))]

    monkeypatch.setattr(services.store.get(None), "variant", Variant())
    assert len(run(services, photos(*LEVELS, 204)).results) == 4
