from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.greedy import greedy_nms
from yoloscope.models.decoding import decode_heads
from yoloscope.models.detector import Detector, detect, scale_pixels
from yoloscope.models.errors import SpecError
from yoloscope.models.spec import ClassTree, DetectorSpec, HeadSpec, LossSpec, NmsSpec

ANCHORS = ((10.0, 20.0), (30.0, 15.0), (40.0, 40.0))
KINDS: dict[str, dict[str, Any]] = {
    "yolo": {"kind": "yolo"},
    "new_coords": {"kind": "yolo", "new_coords": True, "scale_xy": 2.0},
    "linear": {"kind": "yolo", "new_coords": True, "activation": "none", "class_activation": "none"},
    "gaussian": {"kind": "gaussian_yolo"},
    "region": {"kind": "region", "class_activation": "softmax"},
    "tree": {"kind": "region", "class_activation": "tree"},
}
TREE = ClassTree(parents=(-1, -1, 0), group_sizes=(2, 1))


def make_spec(*heads: HeadSpec, **fields: Any) -> DetectorSpec:
    defaults: dict[str, Any] = {
        "name": "sample",
        "family": "v4",
        "class_names": ("a", "b", "c"),
        "input_width": 64,
        "input_height": 32,
        "anchors_px": ANCHORS,
        "loss": LossSpec(preset="v4"),
    }
    return DetectorSpec(heads=heads, **(defaults | fields))


def two_heads(kind: str, **fields: Any) -> DetectorSpec:
    shared = KINDS[kind]
    coarse = HeadSpec(grid_width=2, grid_height=1, anchor_indices=(1, 2), **shared)
    fine = HeadSpec(grid_width=4, grid_height=2, anchor_indices=(0,), **shared)
    return make_spec(coarse, fine, class_tree=TREE if kind == "tree" else None, **fields)


def v1_spec() -> DetectorSpec:
    head = HeadSpec(
        kind="detection", grid_width=3, grid_height=3, boxes_per_cell=2, activation="none", class_activation="none"
    )
    return make_spec(head, family="v1")


def random_heads(spec: DetectorSpec, batch_size: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [spec.head_shape(index, batch_size) for index in range(len(spec.heads))]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def expected_rows(
    heads: Sequence[Tensor], spec: DetectorSpec, image: int, score: float, iou: float
) -> list[list[float]]:
    """x1, y1, x2, y2 in pixels, score, class of one image: everything decoded, then the sequential algorithm."""
    boxes, scores = (part[image].numpy() for part in decode_heads(heads, spec))
    row, class_id = (scores > score).nonzero()
    kept = greedy_nms(boxes[row], scores[row, class_id], class_id, np.full(len(row), iou, np.float32), spec.nms.beta)
    size = [spec.input_width, spec.input_height] * 2
    found = np.concatenate((boxes[row] * size, scores[row, class_id][:, None], class_id[:, None]), 1)[kept]
    rows: list[list[float]] = found.tolist()
    return rows


@pytest.mark.parametrize("spec", [*(two_heads(kind) for kind in KINDS), v1_spec()], ids=[*KINDS, "detection"])
def test_equals_full_decoding_and_sequential_suppression(spec: DetectorSpec) -> None:
    heads = random_heads(spec, 3)
    if spec.heads[0].activation == "none" and spec.heads[0].kind == "yolo":
        heads = tuple(head.sigmoid() for head in heads)
    score, iou = torch.tensor([0.05, 0.2, 0.01]), torch.tensor([0.3, 0.5, 0.1])
    counts, boxes, scores, class_ids = detect(heads, spec, score, iou)
    total = 0
    for image, count in enumerate(counts.tolist()):
        wanted = expected_rows(heads, spec, image, float(score[image]), float(iou[image]))
        got = torch.cat((boxes[image], scores[image, :, None], class_ids[image, :, None]), 1)
        assert count == len(wanted)
        assert got[:count].numpy() == pytest.approx(np.array(wanted).reshape(-1, 6), rel=1e-5, abs=1e-5)
        assert not got[count:].any()
        total += count
    assert total > 10
    assert boxes.shape[1] == max(counts)


def constant_head(spec: DetectorSpec, objectness: float, classes: Sequence[float]) -> Tensor:
    entries = torch.tensor([0.0, 0.0, 0.0, 0.0, objectness, *classes])
    head = spec.heads[0]
    return entries[None, :, None, None].expand(1, -1, head.grid_height, head.grid_width).contiguous()


def one_cell(**fields: Any) -> DetectorSpec:
    return make_spec(HeadSpec(kind="yolo", grid_width=1, grid_height=1, anchor_indices=(0,)), **fields)


def test_one_box_by_hand() -> None:
    spec = one_cell()
    head = constant_head(spec, 0.0, [np.log(3), -9.0, -9.0])  # objectness 1/2, class probability 3/4
    counts, boxes, scores, class_ids = detect((head,), spec, torch.tensor([0.3]), torch.tensor([0.5]))
    assert counts.tolist() == [1]
    assert boxes[0].tolist() == [pytest.approx([27.0, 6.0, 37.0, 26.0])]
    assert scores[0].tolist() == [pytest.approx(0.375)]
    assert class_ids.tolist() == [[0]]
    assert class_ids.dtype == counts.dtype == torch.int64


def test_a_box_may_appear_under_several_classes() -> None:
    spec = one_cell()
    counts, _, scores, class_ids = detect(
        (constant_head(spec, 9.0, [0.0, 3.0, 1.0]),), spec, torch.tensor([0.1]), torch.tensor([0.5])
    )
    assert counts.tolist() == [3]
    assert class_ids.tolist() == [[1, 2, 0]]
    assert (scores[0].diff() < 0).all()


def test_the_score_threshold_is_strict() -> None:
    spec = one_cell()
    head = constant_head(spec, 0.0, [200.0, -200.0, -200.0])  # score 1/2 exactly
    for threshold, count in ((0.5, 0), (0.4999, 1)):
        assert detect((head,), spec, torch.tensor([threshold]), torch.tensor([0.5]))[0].tolist() == [count]


def test_nothing_found_gives_no_rows() -> None:
    spec = two_heads("yolo")
    counts, boxes, scores, class_ids = detect(random_heads(spec, 2), spec, torch.ones(2), torch.ones(2))
    assert counts.tolist() == [0, 0]
    assert (boxes.shape, scores.shape, class_ids.shape) == ((2, 0, 4), (2, 0), (2, 0))


def test_images_of_a_batch_do_not_meet() -> None:
    spec = two_heads("yolo")
    heads = random_heads(spec, 1)
    alone = detect(heads, spec, torch.tensor([0.05]), torch.tensor([0.3]))
    twice = detect(
        tuple(torch.cat((head, head)) for head in heads), spec, torch.full((2,), 0.05), torch.full((2,), 0.3)
    )
    for one, both in zip(alone, twice, strict=True):
        torch.testing.assert_close(torch.cat((one, one)), both)


def test_max_candidates_gives_a_prefix_of_the_whole_result() -> None:
    whole = two_heads("yolo", nms=NmsSpec(max_candidates=1000))
    bounded = two_heads("yolo", nms=NmsSpec(max_candidates=9))
    heads, thresholds = random_heads(whole, 1), (torch.tensor([0.01]), torch.tensor([0.3]))
    all_scores, some_scores = detect(heads, whole, *thresholds)[2], detect(heads, bounded, *thresholds)[2]
    assert 0 < some_scores.shape[1] < all_scores.shape[1]
    assert torch.equal(some_scores, all_scores[:, : some_scores.shape[1]])


def test_beta_null_is_plain_iou() -> None:
    spec = two_heads("yolo", nms=NmsSpec(beta=None))
    heads = random_heads(spec, 1)
    counts = detect(heads, spec, torch.tensor([0.01]), torch.tensor([0.05]))[0]
    assert counts.tolist() == [len(expected_rows(heads, spec, 0, 0.01, 0.05))]
    assert counts[0] < detect(heads, two_heads("yolo"), torch.tensor([0.01]), torch.tensor([0.05]))[0][0]


def test_pixels_are_scaled_and_turned() -> None:
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    assert scale_pixels(images).tolist() == [[[[0.0]], [[1.0]], [[pytest.approx(0.2)]]]]


class Fixed(nn.Module):
    def __init__(self, heads: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        assert images.dtype == torch.float32
        assert images.shape == (2, 3, 32, 64)
        return self.heads


def test_the_detector_returns_detections_then_heads() -> None:
    spec = two_heads("region")
    heads = random_heads(spec, 2)
    detector = Detector(Fixed(heads), spec)
    outputs = detector(torch.zeros(2, 32, 64, 3, dtype=torch.uint8), torch.full((2,), 0.1), torch.full((2,), 0.4))
    assert detector.output_names == ("num_detections", "boxes", "scores", "class_ids", "head_0", "head_1")
    assert all(output is head for output, head in zip(outputs[4:], heads, strict=True))
    for output, wanted in zip(outputs, detect(heads, spec, torch.full((2,), 0.1), torch.full((2,), 0.4)), strict=False):
        assert torch.equal(output, wanted)


def test_heads_that_contradict_the_spec_are_refused() -> None:
    spec = two_heads("yolo")
    with pytest.raises(SpecError, match="expected 2 heads, got 1"):
        detect(random_heads(spec, 1)[:1], spec, torch.ones(1), torch.ones(1))


def test_fractions_of_a_level_are_added() -> None:
    images = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    fraction = torch.tensor([[[[128, 64, 0]]]], dtype=torch.uint8)
    expected = torch.tensor([0.5 / 255, 51.25 / 255, 1.0])
    torch.testing.assert_close(scale_pixels(images, fraction).flatten(), expected)
