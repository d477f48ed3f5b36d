"""Metrics of models: what one request adds to each of them."""

from collections.abc import Iterator

import pytest

from tests.app.client import Client
from tests.app.test_request_metrics import sample
from yoloscope.app.main import create_app
from yoloscope.app.services.metrics import Metrics
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings


@pytest.fixture(scope="module")
def client(settings: Settings, gray_png: bytes) -> Iterator[Client]:
    """A service that has answered one request of two images."""
    with Client(create_app(settings)) as client:
        assert client.post("/v1/detect", files=[("image", gray_png)] * 2).status_code == 200
        yield client


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("yoloscope_images_total", {"model": "tiny"}, 2),
        ("yoloscope_inference_executions_total", {"model": "tiny"}, 2),
        ("yoloscope_batch_size_bucket", {"le": "1.0", "model": "tiny"}, 2),
        ("yoloscope_batch_size_sum", {"model": "tiny"}, 2),
        ("yoloscope_detections_total", {"model": "tiny"}, 6),
        ("yoloscope_stage_duration_seconds_count", {"model": "tiny", "stage": "decode"}, 1),
        ("yoloscope_stage_duration_seconds_count", {"model": "tiny", "stage": "infer"}, 1),
        ("yoloscope_model_request_duration_seconds_count", {"model": "tiny", "outcome": "success"}, 1),
        ("yoloscope_queue_depth", {}, 0),
        ("yoloscope_queue_limit", {}, 64),
    ],
)
def test_one_request_of_two_images(client: Client, name: str, labels: dict[str, str], value: float) -> None:
    """On the CPU images go one by one; of the four candidates three are over the threshold .25."""
    assert sample(client, name, **labels) == value


def test_the_model_at_work_is_described(client: Client) -> None:
    detail = client.get("/v1/models/tiny").json()
    labels = {"model": "tiny", "version": detail["version"], "sha256": detail["sha256"], "provider": "cpu"}
    assert sample(client, "yoloscope_model_info", **labels) == 1
    assert sample(client, "yoloscope_model_ready", model="tiny", version=detail["version"]) == 1
    assert (sample(client, "yoloscope_model_load_duration_seconds", model="tiny") or 0) > 0


def test_a_failed_request_to_a_model_is_counted_apart(settings: Settings) -> None:
    metrics: Metrics = Services(settings).metrics
    with pytest.raises(ZeroDivisionError), metrics.request("tiny"):
        raise ZeroDivisionError
    value = metrics.registry.get_sample_value
    assert value("yoloscope_model_request_duration_seconds_count", {"model": "tiny", "outcome": "fail"}) == 1
    assert value("yoloscope_model_request_duration_seconds_count", {"model": "tiny", "outcome": "success"}) is None
