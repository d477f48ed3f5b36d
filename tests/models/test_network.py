"""Native networks: darknet's own heads, the published cfgs, any classes, sizes and options, gradients, ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.parity.networks import compare_pseudo, compare_real, torch_heads
from tests.parity.pseudo_weights import pseudo_weights
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import load_weights
from yoloscope.models.layers.csp import Residual
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.residual import WeightedResidual
from yoloscope.models.layers.sam import Sam
from yoloscope.models.layers.spp import Spp
from yoloscope.models.layers.weight_block import weight_blocks
from yoloscope.models.network import Network
from yoloscope.models.registry import build, names
from yoloscope.models.spec import DetectorSpec

# Oracle folder and number of classes of the networks whose heads darknet computed.
COMPUTED = {
    "yolov1": ("darknet_pseudo/p-yolov1", 20),
    "yolov2-voc": ("darknet_pseudo/p-yolov2-voc", 20),
    "yolov2-tiny": ("darknet_cfgs/yolov2-tiny", 80),
    "yolov3": ("darknet_pseudo/p-yolov3", 80),
    "yolov3-tiny": ("darknet_pseudo/p-yolov3-tiny", 80),
    "yolov4": ("darknet_pseudo/p-yolov4", 80),
    "yolov4-tiny": ("darknet_pseudo/p-yolov4-tiny", 80),
    "yolov4-csp": ("darknet_cfgs/yolov4-csp", 80),
}
CFGS = {"yolov1": "yolov1/yolo.cfg", "yolov1-tiny": "yolov1/tiny-yolo.cfg"}
VOC = ("yolov1", "yolov1-tiny", "yolov2-voc", "yolov2-tiny-voc")
PARAMETERS = {
    "yolov1": 197_328_243,
    "yolov1-tiny": 27_099_950,
    "yolov2": 50_983_561,
    "yolov2-voc": 50_676_061,
    "yolov2-tiny": 11_237_145,
    "yolov2-tiny-voc": 15_867_885,
    "yolov3": 62_001_757,
    "yolov3-tiny": 8_858_734,
    "yolov3-spp": 63_052_381,
    "yolov4": 64_429_405,
    "yolov4-tiny": 6_062_814,
    "yolov4-csp": 52_986_205,
}
TINY = ("yolov1-tiny", "yolov2-tiny", "yolov3-tiny", "yolov4-tiny")


def on_meta(name: str, *args: Any, **kwargs: Any) -> Network:
    """Build on the meta device, where weights take neither memory nor time."""
    with torch.device("meta"):
        return build(name, *args, **kwargs)


def num_parameters(network: nn.Module) -> int:
    return sum(block.tensor.numel() for block in weight_blocks(network))


def lively(network: Network) -> Network:
    """Fill with weights that let signals through, which those before training do not without batch statistics."""
    with torch.no_grad():
        for block in weight_blocks(network):
            if block.role == "weights":
                block.tensor.normal_(std=(2 / block.tensor[0].numel()) ** 0.5)
            elif block.role in {"scales", "variance"}:
                block.tensor.uniform_(0.7, 1.3)
            else:
                block.tensor.uniform_(-0.2, 0.2)
    return network.eval()


def assert_varied(head: torch.Tensor) -> None:
    assert head.std(tuple(range(2, head.dim()))).mean() > 0.05 if head.dim() == 4 else head.std() > 0.05


@pytest.mark.parametrize("name", names())
def test_parameter_counts_are_those_of_the_published_files(name: str) -> None:
    assert num_parameters(on_meta(name, 20 if name in VOC else 80)) == PARAMETERS[name]


@pytest.mark.parametrize("name", COMPUTED)
def test_heads_equal_darknets(oracles_dir: Path, name: str) -> None:
    place, num_classes = COMPUTED[name]
    summary = json.loads((oracles_dir / place / "summary.json").read_text())
    _, height, width = summary["net"]
    network = build(name, num_classes, input_size=(width, height)).eval()
    load_weights(network, pseudo_weights(summary))
    for head in compare_pseudo(oracles_dir / place, network):
        assert head.passed, head


def test_yolov4_tiny_with_a_third_head_is_darknets_yolov4_tiny_3l(oracles_dir: Path) -> None:
    place = oracles_dir / "darknet_cfgs" / "yolov4-tiny-3l"
    with torch.device("meta"):
        theirs = build_darknet(place / "yolov4-tiny-3l.cfg")
    summary = json.loads((place / "summary.json").read_text())
    _, height, width = summary["net"]
    network = build("yolov4-tiny", 80, input_size=(width, height), third_head=True).eval()
    assert comparable(network.spec) == comparable(theirs.spec)
    load_weights(network, pseudo_weights(summary))
    compared = list(compare_pseudo(place, network))
    assert len(compared) == 3
    for head in compared:
        assert head.passed, head


def test_the_official_yolov4_tiny_gives_darknets_heads(oracles_dir: Path) -> None:
    network = build("yolov4-tiny").eval()
    weights = oracles_dir / "weights" / "yolov4-tiny" / "yolov4-tiny.weights"
    load_weights(network, weights)
    for head in compare_real(oracles_dir, weights, torch_heads(network)):
        assert head.passed, head


def comparable(spec: DetectorSpec) -> DetectorSpec:
    return spec.model_copy(update={"name": "", "class_names": (), "loss": None, "source": None})


@pytest.mark.parametrize("name", names())
def test_blocks_and_spec_are_those_of_the_published_cfg(oracles_dir: Path, name: str) -> None:
    with torch.device("meta"):
        theirs = build_darknet(oracles_dir / "cfg" / CFGS.get(name, f"{name}.cfg"))
    width, height = theirs.spec.input_width, theirs.spec.input_height
    ours = on_meta(name, len(theirs.spec.class_names), input_size=(width, height))
    assert comparable(ours.spec) == comparable(theirs.spec)
    assert [(block.role, block.tensor.shape) for block in weight_blocks(ours)] == [
        (block.role, block.tensor.shape) for block in weight_blocks(theirs)
    ]


@pytest.mark.parametrize("name", ["yolov1-tiny", "yolov2", "yolov2-tiny-voc", "yolov3-spp"])
def test_heads_equal_those_of_the_cfg(oracles_dir: Path, name: str, tmp_path: Path) -> None:
    text = (oracles_dir / "cfg" / CFGS.get(name, f"{name}.cfg")).read_text()
    side = 448 if name == "yolov1-tiny" else 96
    for published in ("416", "448", "608"):
        text = text.replace(f"width={published}", f"width={side}").replace(f"height={published}", f"height={side}")
    (tmp_path / "small.cfg").write_text(text)
    theirs = build_darknet(tmp_path / "small.cfg").eval()
    ours = lively(build(name, len(theirs.spec.class_names), input_size=(side, side)))
    with torch.no_grad():
        for own, other in zip(weight_blocks(ours), weight_blocks(theirs), strict=True):
            other.tensor.copy_(own.tensor)
        images = torch.rand(1, 3, side, side)
        for own_head, other_head in zip(ours(images), theirs(images), strict=True):
            assert_varied(own_head)
            torch.testing.assert_close(own_head, other_head, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", names())
def test_any_number_of_classes_and_any_size(name: str) -> None:
    network = build(name, 3, input_size=(192, 128)).eval()
    with torch.inference_mode():
        heads = network(torch.rand(2, 3, 128, 192))
    assert [tuple(head.shape) for head in heads] == [network.spec.head_shape(i, 2) for i in range(len(heads))]
    assert all(head.isfinite().all() for head in heads)


@pytest.mark.parametrize("name", TINY)
def test_empty_batch(name: str) -> None:
    network = build(name, 1, input_size=(64, 64), width=0.25).eval()
    assert all(head.shape[0] == 0 for head in network(torch.zeros(0, 3, 64, 64)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"width": 0.25}) for name in TINY),
        ("yolov4", {"sam": True, "weighted_residuals": True, "dropblock": 0.1}),
        ("yolov4-tiny", {"width": 0.25, "spp": True}),
        ("yolov4-tiny", {"width": 0.25, "third_head": True}),
        ("yolov4", {"csp": False, "pan": False, "sam": True, "weighted_residuals": True, "width": 0.25}),
    ],
)
def test_every_weight_has_a_gradient(name: str, options: dict[str, Any]) -> None:
    network = build(name, 2, input_size=(64, 64), **options).train()
    heads = network(torch.rand(2, 3, 64, 64))
    torch.autograd.backward(torch.cat([head.flatten() for head in heads]).square().mean())
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_width_narrows_the_tiny_networks() -> None:
    for name in TINY:
        assert num_parameters(on_meta(name, width=0.5)) < 0.5 * num_parameters(on_meta(name))


def test_width_and_depth_make_yolov4_smaller() -> None:
    whole, narrow, shallow = on_meta("yolov4"), on_meta("yolov4", width=0.25), on_meta("yolov4", depth=0.34)
    assert num_parameters(narrow) < 0.07 * num_parameters(whole)
    # Residual blocks: 1 + 2 + 8 + 8 + 4 times .34, at least one in a stage.
    assert [count(network, Residual) for network in (whole, narrow, shallow)] == [23, 23, 1 + 1 + 3 + 3 + 1]


def test_yolov4_without_csp_and_pan_has_the_parts_of_yolov3() -> None:
    plain, v3 = on_meta("yolov4", csp=False, pan=False, spp=False), on_meta("yolov3")
    assert [(block.role, block.tensor.shape) for block in weight_blocks(plain)] == [
        (block.role, block.tensor.shape) for block in weight_blocks(v3)
    ]
    assert [plain.spec.head_stride(index) for index in range(3)] == [(32, 32), (16, 16), (8, 8)]


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def test_specials_of_yolov4_are_where_they_are_asked_for() -> None:
    plain, special = on_meta("yolov4"), on_meta("yolov4", sam=True, weighted_residuals=True, dropblock=0.1)
    assert [count(plain, kind) for kind in (Sam, WeightedResidual, Spp)] == [0, 0, 1]
    assert [count(special, kind) for kind in (Sam, WeightedResidual, Spp)] == [3, 23, 1]
    assert {module.probability for module in special.modules() if isinstance(module, DropBlock)} == {0.1}
    assert count(on_meta("yolov4", spp=False), Spp) == 0
    assert [count(on_meta("yolov4-tiny", spp=spp), Spp) for spp in (False, True)] == [0, 1]
    # A gate per head (normalized 1x1 convolution), and two weights per residual.
    gates = sum(channels * channels + 4 * channels for channels in (256, 512, 1024))
    assert num_parameters(special) - num_parameters(plain) == gates + 23 * 2


def test_dropblock_does_nothing_outside_training() -> None:
    network = build("yolov4", 1, input_size=(64, 64), dropblock=0.5).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        first, second = network(images), network(images)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own exporter
@pytest.mark.parametrize(("name", "options"), [*((name, {"width": 0.25}) for name in TINY), ("yolov2", {})])
def test_onnx_gives_the_same_for_any_batch(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    network = lively(build(name, 2, input_size=(128, 64), **options))
    path = tmp_path / "network.onnx"
    batch = torch.export.Dim("batch")
    example = torch.rand(2, 3, 64, 128)
    torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    session = onnxruntime.InferenceSession(path)
    for size in (1, 3):
        images = torch.rand(size, 3, 64, 128)
        with torch.inference_mode():
            ours = network(images)
        for own, other in zip(ours, session.run(None, {"images": images.numpy()}), strict=True):
            assert_varied(own)
            np.testing.assert_allclose(other, own.numpy(), rtol=1e-4, atol=1e-4 * float(own.abs().max()))
