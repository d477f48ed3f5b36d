"""Artifacts in half precision and in 8 bits."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.training.export.small import MISH, SIDE, lively
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.errors import DatasetError, ExportError
from yoloscope.models.registry import build
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.export.compare import Agreement, compare
from yoloscope.training.export.precision import make_fp16, make_int8
from yoloscope.training.export.quantization import int8
from yoloscope.training.export.quantization.int8 import Int8Settings
from yoloscope.training.export.quantization.ranges import find_calibration, network_inputs
from yoloscope.training.export.surgery import take_network


def agreement(original: Path, changed: Path, data: Path) -> Agreement:
    first, second = (Runtime(path, "cpu", 1) for path in (original, changed))
    return compare(first, second, find_calibration(data, "train", 6).levels(first.spec))


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(tensor.ByteSize() for tensor in take_network(model).graph.initializer if len(tensor.dims) == 4)


def error_of_torch_in_half(data: Path, name: str, **options: Any) -> float:
    """The largest difference of heads that half precision makes in torch."""
    spec = build(name, 2, input_size=(SIDE, SIDE), **options).spec
    levels = find_calibration(data, "train", 6).levels(spec)
    network, images = lively(name, levels, **options), torch.from_numpy(np.concatenate(network_inputs(levels)))
    with torch.inference_mode():
        heads, rounded = network(images), network.half()(images.half())
    return max(float((one - other.float()).abs().max()) for one, other in zip(heads, rounded, strict=True))


@pytest.fixture(scope="module")
def data(shapes: Path) -> Path:
    """The same images without labels, more than are held back."""
    return shapes / "images" / "train"


@pytest.fixture(scope="module")
def half(small: Path) -> Path:
    path = small.with_name("half.onnx")
    onnx.save(make_fp16(small), path)
    return path


def test_half_precision_halves_the_file_and_moves_little(small: Path, half: Path, data: Path) -> None:
    model, before = onnx.load(half), onnx.load(small)
    assert weight_bytes(model) < 0.51 * weight_bytes(before)
    kinds = Counter(tensor.data_type for tensor in take_network(model).graph.initializer)
    assert kinds[onnx.TensorProto.FLOAT16] > 40
    found = agreement(small, half, data.parents[1])
    assert 0 < found.head_error < 0.02 * found.head_magnitude
    assert found.detection_error < 0.02


def test_the_spec_tells_the_precision(small: Path, half: Path) -> None:
    before, after = (Runtime(path, "cpu", 1) for path in (small, half))
    assert before.spec.precision is None
    assert '"precision"' not in before.spec.to_json()
    assert after.spec.precision is not None
    assert (after.spec.precision.kind, after.spec.precision.made_from) == ("fp16", before.sha256)
    assert DetectorSpec.from_json(after.spec.to_json()) == after.spec
    assert after.spec.model_copy(update={"precision": None}) == before.spec


@pytest.mark.usefixtures("timeless")
def test_8_bits_from_images_without_labels(small: Path, data: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    model, made = make_int8(
        small, find_calibration(data, None, 6), Int8Settings(0.2), lambda what, _part: steps.append(what)
    )
    onnx.save(model, tmp_path / "int8.onnx")
    runtime = Runtime(tmp_path / "int8.onnx", "cpu", 1)
    precision = runtime.spec.precision
    assert precision is not None
    assert (precision.kind, precision.calibration_data, precision.calibration_images) == ("int8", "train", 6)
    assert (precision.ranges, precision.detection_error) == (made.method, made.error)
    assert precision.float_layers == made.float_layers != ()
    assert sum(layer.share for layer in made.layers if layer.in_float) <= 0.2
    assert sum(layer.share for layer in made.layers) == pytest.approx(1)
    assert made.error < min(made.method_errors.values())
    assert set(steps) == {"calibrating", "quantizing each layer alone", "keeping layers in float"}
    found = agreement(small, tmp_path / "int8.onnx", data.parents[1])
    assert 0 < found.detection_error < 0.5
    weights = [t for t in take_network(model).graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    assert sum(len(tensor.dims) == 4 for tensor in weights) == 21 - len(made.float_layers)


def test_what_slows_down_is_quantized_all_the_same(small: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "relative_time", lambda *_: 1.2)
    monkeypatch.setattr(int8, "MOST_RANKED", 3)
    _, made = make_int8(small, find_calibration(data, None, 4), Int8Settings(slowdown=1.1, method="extremes"))
    assert made.float_layers == ()
    assert made.error == made.method_errors["extremes"]
    assert sum(layer.error is not None for layer in made.layers) == 3


@pytest.mark.usefixtures("timeless")
def test_networks_of_composed_activations(
    mish: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mish, shortcuts, pyramid pooling and two resizings that share a constant; random weights magnify every error."""
    monkeypatch.setattr(int8, "MOST_RANKED", 2)
    onnx.save(make_fp16(mish), tmp_path / "half.onnx")
    in_half = agreement(mish, tmp_path / "half.onnx", shapes).head_error
    assert 0 < in_half < 2 * error_of_torch_in_half(shapes, "yolov4", **MISH)
    eighth, made = make_int8(mish, find_calibration(shapes, "train", 4), Int8Settings(method="extremes"))
    onnx.save(eighth, tmp_path / "int8.onnx")
    assert sum(layer.error is not None for layer in made.layers) == 2
    assert agreement(mish, tmp_path / "int8.onnx", shapes).detection_error < 1


def test_a_batch_of_any_size(half: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    runtime = Runtime(half, "cpu", 1)
    together = runtime.heads(images)
    for row in range(3):
        for head, alone in zip(together, runtime.heads(images[row : row + 1]), strict=True):
            assert head.dtype == np.float32
            np.testing.assert_allclose(head[row], alone[0], atol=0.05)


def test_only_float32_can_be_converted(small: Path, half: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="got one in half precision"):
        make_int8(half, find_calibration(data, None, 4))
    settings = Int8Settings(float_share=0, method="extremes")
    onnx.save(make_int8(small, find_calibration(data, None, 4), settings)[0], tmp_path / "int8.onnx")
    with pytest.raises(ExportError, match="got one that is quantized already"):
        make_fp16(tmp_path / "int8.onnx")


@pytest.mark.parametrize(("split", "count"), [(None, 3), ("val", 64)])
def test_too_few_calibration_images(shapes: Path, split: str | None, count: int) -> None:
    with pytest.raises(DatasetError, match="expected at least 4 calibration images"):
        find_calibration(shapes, split, count)
