"""The artifact on CUDA; these tests run where a CUDA device and a CUDA-enabled onnxruntime are at hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from yoloscope.app.services.runtime import Runtime
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import load_weights
from yoloscope.models.detector import Detector
from yoloscope.models.errors import ProviderError
from yoloscope.models.preprocess import preprocess
from yoloscope.models.registry import build
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import check_parity

PROVIDERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("CPUExecutionProvider", {}),
)

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def exact_arithmetic() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_cuda(path: Path) -> Runtime:
    onnxruntime.preload_dlls()
    try:
        return Runtime(path, "cuda")
    except ProviderError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["yolov2-tiny", "yolov3-tiny", "yolov4-tiny"])
def test_torch_and_onnxruntime_agree(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    network = build(name, num_classes=5, input_size=(160, 128)).eval()
    path = tmp_path / "model.onnx"
    export_onnx(network, network.spec, path)
    on_cuda(path)
    report = check_parity(Detector(network.cuda(), network.spec), path, PROVIDERS)
    assert report.num_detections > 0


def test_a_network_on_cuda_can_be_exported(tmp_path: Path) -> None:
    network = build("yolov4-tiny", num_classes=2, input_size=(96, 64)).eval().cuda()
    assert export_onnx(network, network.spec, tmp_path / "model.onnx").num_detections > 0


def test_the_same_objects_are_found_as_on_the_cpu(oracles_dir: Path, tmp_path: Path) -> None:
    folder = oracles_dir / "weights" / "yolov4-tiny"
    network = build_darknet(folder / "yolov4-tiny.cfg")
    load_weights(network, folder / "yolov4-tiny.weights")
    path = tmp_path / "model.onnx"
    export_onnx(network, network.spec, path)
    with Image.open(oracles_dir / "images" / "dog.jpg") as image:
        placed, _ = preprocess(np.asarray(image.convert("RGB")), network.spec)
    (expected,) = Runtime(path, "cpu").detect(placed[None], [0.25], [0.45])
    (found,) = on_cuda(path).detect(placed[None], [0.25], [0.45])
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.05)
