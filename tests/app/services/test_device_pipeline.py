"""The pipeline on the device of these tests, the CPU, where nothing is captured; tests marked gpu run it on CUDA."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from yoloscope.app.services.device_pipeline import ROWS, DevicePipeline
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.detections import Detections
from yoloscope.models.zoo import BUILTIN

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module", params=DEVICES)
def pipeline(request: pytest.FixtureRequest, runtime: Runtime) -> DevicePipeline:
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        onnxruntime.preload_dlls()
    return DevicePipeline(BUILTIN, runtime.spec, request.param, {"use_tf32": "0"}, threads=1)


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(Path(BUILTIN), "cpu", threads=1)


@pytest.fixture(scope="module")
def levels(runtime: Runtime) -> tuple[np.ndarray, np.ndarray]:
    """Return images and their 256ths: noise in which the model sees cells by the hundred."""
    random = np.random.default_rng(0)
    shape = (3, runtime.spec.input_height, runtime.spec.input_width, 3)
    return random.integers(0, 256, shape, np.uint8), random.integers(0, 256, shape, np.uint8)


def assert_same(found: list[Detections], wanted: list[Detections]) -> None:
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got.class_ids, expected.class_ids)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got.boxes_xyxy, expected.boxes_xyxy, atol=1e-2)
        assert got.class_ids.dtype == expected.class_ids.dtype
        assert got.boxes_xyxy.dtype == expected.boxes_xyxy.dtype


def thresholds(runtime: Runtime, images: np.ndarray, counts: list[int]) -> list[float]:
    """Return score thresholds between two scores, so that rounding moves no candidate over them."""
    found = runtime.detect(images, [0.0] * len(images), [1.0] * len(images))
    return [float(item.scores[n - 1 : n + 1].mean()) if n else 1.0 for item, n in zip(found, counts, strict=True)]


@pytest.mark.parametrize("counts", [[0, 3, 40], [ROWS[0] + 20, 5, 0], [1, ROWS[-1] + 20, 9]])
def test_equals_the_artifact(
    pipeline: DevicePipeline, runtime: Runtime, levels: tuple[np.ndarray, np.ndarray], counts: list[int]
) -> None:
    """Few candidates, more than there is room for at first, and more than there ever is."""
    images, _ = levels
    score = thresholds(runtime, images, counts)
    overlap = [0.45, 0.3, 0.6]
    assert_same(pipeline.detect(images, None, score, overlap), runtime.detect(images, score, overlap))


def test_takes_256ths_of_a_level_and_forgets_them(
    pipeline: DevicePipeline, runtime: Runtime, levels: tuple[np.ndarray, np.ndarray]
) -> None:
    images, fraction = levels
    exact = (images + fraction / 256).astype(np.float32)
    for given, wanted in ((fraction, runtime.heads(exact)), (None, runtime.heads(images))):
        for got, expected in zip(pipeline.heads(images, given), wanted, strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-4)


def test_warms_up_for_batches_of_any_size(
    pipeline: DevicePipeline, runtime: Runtime, levels: tuple[np.ndarray, np.ndarray]
) -> None:
    pipeline.warm_up([1, 2, 4])
    image = levels[0][:1]
    many = pipeline.detect(np.repeat(image, 5, 0), None, [0.5] * 5, [0.45] * 5)
    assert_same(many, runtime.detect(image, [0.5], [0.45]) * 5)
