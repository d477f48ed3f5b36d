"""Gains against ``compute_loss`` of edited labels, on random scenes: every preset, every rule of the formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.app.scoring import YOLO_HEADS, make_spec
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.training.diagnostics.repair import Edits, LabelLoss, NetworkLabels
from yoloscope.training.losses import PRESETS, compute_loss

REGION = HeadSpec(kind="region", grid_width=6, grid_height=6, anchor_indices=(0, 1, 2, 3), class_activation="softmax")
REGION_LOGISTIC = REGION.model_copy(update={"class_activation": "sigmoid"})
GRID = HeadSpec(
    kind="detection",
    grid_width=5,
    grid_height=4,
    boxes_per_cell=2,
    sqrt_wh=True,
    activation="none",
    class_activation="none",
)
ONE_PER_CELL = GRID.model_copy(update={"boxes_per_cell": 1})
NEW_COORDS = tuple(head.model_copy(update={"new_coords": True, "scale_xy": 2.0}) for head in YOLO_HEADS)
HEADS: dict[str, tuple[HeadSpec, ...]] = {
    "v1": (GRID,),
    "v1-darknet": (GRID,),
    "v1-walkthrough": (GRID,),
    "article-mse": (ONE_PER_CELL,),
    "article-masked": (ONE_PER_CELL,),
    "article-iou": (ONE_PER_CELL,),
    "v2": (REGION,),
    "v2-darknet": (REGION,),
    "v2-pjreddie": (REGION,),
}
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "collision-first": ("v4", {"collision": "first"}),
    "collision-last": ("v4", {"collision": "last"}),
    "collision-accumulate": ("v4", {"collision": "accumulate"}),
    "collision-best-iou": ("v4", {"collision": "best_iou"}),
    "match-best-anchor": ("v4", {"match": "best_anchor"}),
    "match-per-head": ("v4", {"match": "best_anchor_per_head"}),
    "match-ratio": ("v4", {"match": "ratio", "match_threshold": 3.0}),
    "ignore-0": ("v4", {"ignore_threshold": 0.0}),
    "ignore-.3": ("v4", {"ignore_threshold": 0.3}),
    "ignore-1": ("v4", {"ignore_threshold": 1.0}),
    "ignore-nothing": ("v4", {"ignore_threshold": None}),
    "class-gate": ("v4", {"ignore_threshold": 0.3, "ignore_class_gate": 0.6}),
    "target-iou": ("v4", {"objectness_target": "iou"}),
    "target-smooth": ("v4", {"objectness_target": "smooth", "ignore_threshold": 0.4}),
    "focal": ("v4", {"objectness_loss": "focal", "class_loss": "focal", "ignore_threshold": 0.4}),
    "linear": ("v4", {"decode_xy": "linear", "ignore_threshold": 0.4}),
    "logits": ("v3", {"box_loss": "mse_logits", "box_size_weight": True, "ignore_threshold": 0.4}),
    "scales": ("v4", {"scale_weights": (4.0, 0.5), "weights": {"no_objectness": (0.1, 3.0)}, "normalizer": "cells"}),
    "v1-ignore": ("v1", {"ignore_threshold": 0.3}),
}
NUM_IMAGES, MOST_LABELS = 3, 8
SEED = 0


def _spec(preset: str, overrides: dict[str, Any], heads: tuple[HeadSpec, ...] | None = None) -> DetectorSpec:
    chosen = heads or HEADS.get(preset, YOLO_HEADS)
    anchors = {"anchors_px": ()} if chosen[0].kind == "detection" else {}
    spec = make_spec(preset, chosen, preset, **anchors)
    return spec.model_copy(update={"loss": LossSpec(preset=preset, overrides=overrides)})


SPECS = {
    **{name: _spec(name, {}) for name in PRESETS},
    **{name: _spec(*rule) for name, rule in RULES.items()},
    "new-coords": _spec("v4", {"ignore_threshold": 0.4}, NEW_COORDS),
}


def _scene(spec: DetectorSpec, source: torch.Generator) -> tuple[list[Tensor], NetworkLabels]:
    """Return heads whose boxes are near their anchors, and labels of those shapes, some on one cell or on one place."""
    heads = [
        0.7 * torch.randn(spec.head_shape(index, NUM_IMAGES), generator=source) for index in range(len(spec.heads))
    ]
    counts = torch.randint(0, MOST_LABELS, (NUM_IMAGES,), generator=source)
    counts[0], counts[1] = 0, MOST_LABELS
    count = int(counts.sum())
    boxes = _boxes(spec, count, source)
    twins = torch.rand(count, generator=source) < 0.3
    boxes[1:][twins[1:]] = boxes[:-1][twins[1:]]
    return heads, NetworkLabels(
        boxes, _classes(spec, count, source), torch.arange(NUM_IMAGES).repeat_interleave(counts), NUM_IMAGES
    )


def _boxes(spec: DetectorSpec, count: int, source: torch.Generator) -> Tensor:
    """Return corner boxes; a few have no width, and the centers of a few lie on the edge of the input or off it."""
    shapes = torch.tensor(spec.anchors_px or ((8, 8), (32, 40)), dtype=torch.float64) / 64
    size = shapes[torch.randint(0, len(shapes), (count,), generator=source)]
    size = size * (0.3 * torch.randn(count, 2, generator=source, dtype=torch.float64)).exp()
    size[torch.rand(count, generator=source) < 0.05] = 0
    center = torch.rand(count, 2, generator=source, dtype=torch.float64) * 1.1
    center[torch.rand(count, generator=source) < 0.05] = 1.0
    return torch.cat((center - size / 2, center + size / 2), 1)


def _classes(spec: DetectorSpec, count: int, source: torch.Generator) -> Tensor:
    return torch.randint(0, len(spec.class_names), (count,), generator=source)


def _edits(spec: DetectorSpec, labels: NetworkLabels, source: torch.Generator) -> Edits:
    """Return a deletion, a relabeling, a move and both at once for each label, and some additions to each image."""
    rows = torch.arange(len(labels.image)).repeat(4)
    kind = torch.arange(4).repeat_interleave(len(labels.image))
    image, old = labels.image[rows], labels.boxes_xyxy_norm[rows]
    near = old + 0.05 * torch.randn(old.shape, generator=source, dtype=torch.float64)
    far = _boxes(spec, len(rows), source)
    moved = torch.where((torch.rand(len(rows), 1, generator=source) < 0.5), near.sort(1).values, far)
    added = torch.arange(NUM_IMAGES).repeat(3)
    return Edits(
        torch.cat((image, added)),
        torch.cat((rows, torch.full_like(added, -1))),
        torch.cat((torch.where(kind[:, None] >= 2, moved, old), _boxes(spec, len(added), source))),
        torch.cat((torch.where(kind == 2, labels.class_ids[rows], _classes(spec, len(rows), source)),
                   _classes(spec, len(added), source))),
        torch.cat((kind == 0, torch.zeros_like(added, dtype=torch.bool))),
    )  # fmt: skip


def _loss(heads: list[Tensor], labels: NetworkLabels, image: int, spec: DetectorSpec) -> dict[str, float]:
    own = [head[image : image + 1] for head in heads]
    report = compute_loss(own, labels.of_image(image).to_ground_truth(), spec, divisor=1.0)
    return {name: float(term.weighted) for name, term in report.terms.items()}


def _edited(labels: NetworkLabels, edits: Edits, index: int) -> NetworkLabels:
    """Return all labels after one edit, made by hand."""
    row, image = int(edits.row[index]), int(edits.image[index])
    at = int((labels.image <= image).sum()) if row < 0 else row
    rest = at if row < 0 else at + 1
    new = slice(index, index if edits.deletes[index] else index + 1)
    pairs = (
        (labels.boxes_xyxy_norm, edits.boxes_xyxy_norm), (labels.class_ids, edits.class_ids),
        (labels.image, edits.image),
    )  # fmt: skip
    boxes, class_ids, images = (torch.cat((old[:at], own[new], old[rest:])) for old, own in pairs)
    return NetworkLabels(boxes, class_ids, images, labels.batch_size)


@pytest.mark.parametrize("name", SPECS)
def test_gains_are_differences_of_two_losses(name: str) -> None:
    spec, source = SPECS[name], torch.Generator().manual_seed(SEED)
    heads, labels = _scene(spec, source)
    edits = _edits(spec, labels, source)
    gains = LabelLoss(heads, labels, spec).gains(edits)
    before = [_loss(heads, labels, image, spec) for image in range(NUM_IMAGES)]
    for index in range(len(edits)):
        image = int(edits.image[index])
        after = _loss(heads, _edited(labels, edits, index), image, spec)
        allowed = 2e-6 * sum(before[image].values())
        assert gains.total[index].item() == pytest.approx(
            sum(before[image].values()) - sum(after.values()), abs=allowed
        )
        for term, gain in gains.terms.items():
            assert gain[index].item() == pytest.approx(before[image][term] - after[term], abs=allowed), term


@pytest.mark.parametrize("name", ["ignore-.3", "class-gate", "v1-ignore", "new-coords"])
def test_the_scenes_have_predictors_that_edits_spare(name: str) -> None:
    """What holds for gains above would hold without the ignore rule too, were there nobody that it spares."""
    spec, source = SPECS[name], torch.Generator().manual_seed(SEED)
    heads, labels = _scene(spec, source)
    edits = _edits(spec, labels, source)
    without = {**spec.loss.overrides, "ignore_threshold": None, "ignore_class_gate": None}
    other = spec.model_copy(update={"loss": spec.loss.model_copy(update={"overrides": without})})
    gains, plain = (LabelLoss(heads, labels, own).gains(edits).total for own in (spec, other))
    assert ((gains - plain).abs() > 1e-3).sum() >= 3
