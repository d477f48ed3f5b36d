"""Detectors traced one after the other share what they can, and nothing else."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from yoloscope.models.detector import Detector
from yoloscope.models.session import GRAPH_VERSION
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, NmsSpec
from yoloscope.training.export.onnx import build_artifact
from yoloscope.training.export.tracing import OPSET, renew_detections, trace_detector


def detector(class_names: tuple[str, ...], width: int, max_candidates: int) -> Detector:
    """One convolution with a stride of 16 at a height of 32, with one anchor."""
    torch.manual_seed(0)
    spec = DetectorSpec(
        name="one",
        family="v4",
        class_names=class_names,
        input_width=width,
        input_height=32,
        anchors_px=((8.0, 8.0),),
        heads=(HeadSpec(kind="yolo", grid_width=width // 16, grid_height=2, anchor_indices=(0,)),),
        nms=NmsSpec(max_candidates=max_candidates),
        loss=LossSpec(preset="v4"),
    )
    return Detector(Tuple(nn.Conv2d(3, 5 + len(class_names), 16, 16)), spec)


class Tuple(nn.Module):
    """Heads are a tuple."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layer(images),)


def test_each_has_the_numbers_of_its_own_spec() -> None:
    """All three share suppression, the last two decoding as well; of 18 candidates one may enter suppression."""
    counts = []
    for names, width, max_candidates in ((("a", "b"), 64, 100), (("a", "b", "c"), 48, 100), (("a", "b", "c"), 48, 1)):
        traced = detector(names, width, max_candidates)
        session = onnxruntime.InferenceSession(trace_detector(traced).SerializeToString())
        images = np.random.default_rng(0).integers(0, 256, (1, 32, width, 3), np.uint8)
        thresholds = np.zeros(1, np.float32), np.ones(1, np.float32)
        fraction = np.zeros((1, 1, 1, 1), np.uint8)
        feeds = dict(zip([value.name for value in session.get_inputs()], (images, *thresholds, fraction), strict=True))
        found = session.run(None, feeds)
        with torch.inference_mode():
            wanted = traced(*map(torch.from_numpy, (images, *thresholds, fraction)))
        for got, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-5)
        counts.append(found[0].item())
    assert counts == [2 * 4 * 2, 3 * 2 * 3, 1]


def test_loops_hold_their_own_constants_and_nothing_empty_is_summed() -> None:
    """What CUDA cannot run: constants from around a loop, and sums over no element (here: no candidate at all)."""
    traced = detector(("a", "b"), 64, 100)
    model = trace_detector(traced)
    constants = {tensor.name for tensor in model.graph.initializer}
    loops = [node for node in model.graph.node if node.op_type == "Loop"]
    assert loops
    for graph in subgraphs(model.graph):
        assert not constants & {name for node in graph.node for name in node.input}
    reduced = [node.input[0] for node in model.graph.node if node.op_type == "ReduceSum"]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in reduced)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {
        "images": np.zeros((1, 32, 64, 3), np.uint8),
        "score_threshold": np.ones(1, np.float32),
        "iou_threshold": np.ones(1, np.float32),
        "images_256ths": np.zeros((1, 1, 1, 1), np.uint8),
    }
    assert all(value.size for value in session.run(reduced, feeds))


def subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from subgraphs(attribute.g)


def test_an_artifact_of_an_earlier_version_is_renewed() -> None:
    traced = detector(("a", "b"), 64, 100)
    old = onnx.helper.make_model(build_artifact(traced).graph)
    old.opset_import[0].version, old.ir_version = OPSET, 10
    onnx.helper.set_model_props(old, {"kept": "as it was"})
    renewed = renew_detections(old, traced.spec)
    assert renewed.model_version == GRAPH_VERSION
    assert renew_detections(renewed, traced.spec) is renewed
    assert renewed.metadata_props == old.metadata_props
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    feeds = {"images": images, **dict.fromkeys(("score_threshold", "iou_threshold"), np.full(2, 0.4, np.float32))}
    results = [onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds) for model in (old, renewed)]
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))
