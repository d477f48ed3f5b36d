"""Small detectors and random batches for the loss tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth

V4_ANCHORS = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146))
V2_ANCHORS = ((20, 30), (45, 40), (90, 80))


@dataclass(frozen=True)
class Batch:
    """Raw heads, objects and the detector they belong to."""

    heads: tuple[Tensor, ...]
    truth: GroundTruth
    spec: DetectorSpec


def spec_v1(side: int = 3, boxes_per_cell: int = 2, classes: int = 3) -> DetectorSpec:
    head = HeadSpec(
        kind="detection",
        grid_width=side,
        grid_height=side,
        boxes_per_cell=boxes_per_cell,
        sqrt_wh=True,
        class_activation="none",
    )
    return _spec("v1", 32 * side, 32 * side, (), (head,), classes)


def spec_v2(width: int = 4, height: int = 3, classes: int = 3) -> DetectorSpec:
    head = HeadSpec(
        kind="region", grid_width=width, grid_height=height, anchor_indices=(0, 1, 2), class_activation="softmax"
    )
    return _spec("v2", 32 * width, 32 * height, V2_ANCHORS, (head,), classes)


def spec_v4(width: int = 96, height: int = 64, classes: int = 3, family: str = "v4") -> DetectorSpec:
    heads = tuple(
        HeadSpec(
            kind="yolo",
            grid_width=width // stride,
            grid_height=height // stride,
            anchor_indices=mask,
            scale_xy=scale if family == "v4" else 1.0,
        )
        for stride, mask, scale in ((16, (0, 1, 2), 1.2), (32, (3, 4, 5), 1.05))
    )
    return _spec(family, width, height, V4_ANCHORS, heads, classes)


def spec_of(preset: str) -> DetectorSpec:
    """A detector that fits a named preset."""
    if preset.startswith("article"):
        return spec_v1(boxes_per_cell=1)
    if preset.startswith("v1"):
        return spec_v1()
    if preset.startswith("v2"):
        return spec_v2()
    return spec_v4(family="v3" if preset.startswith("v3") else "v4")


def _spec(
    family: str,
    width: int,
    height: int,
    anchors: tuple[tuple[int, int], ...],
    heads: tuple[HeadSpec, ...],
    classes: int,
) -> DetectorSpec:
    return DetectorSpec(
        name="test",
        family=family,
        class_names=tuple(f"class {i}" for i in range(classes)),
        input_width=width,
        input_height=height,
        anchors_px=anchors,
        heads=heads,
        loss=LossSpec(preset=family),
    )


def truth_of(rows: list[tuple[int, int, float, float, float, float]], batch_size: int) -> GroundTruth:
    """Ground truth of rows (image, class, cx, cy, w, h), float64."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return GroundTruth(table[:, 2:], table[:, 1].long(), table[:, 0].long(), batch_size)


def random_truth(seed: int, batch_size: int, most: int, classes: int) -> GroundTruth:
    """Up to ``most`` objects per image, some images empty, some objects in one cell."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, most + 1, (batch_size,), generator=generator)
    n = int(counts.sum())
    boxes = torch.rand(n, 4, generator=generator, dtype=torch.float64)
    boxes[:, 2:] = 0.03 + 0.6 * boxes[:, 2:] ** 2
    if n > 1 and seed % 3 == 0:
        boxes[1, :2] = boxes[0, :2]
    if n > 1 and seed % 6 == 0:
        boxes[1, 2:] = boxes[0, 2:] * 1.01
    class_ids = torch.randint(0, classes, (n,), generator=generator)
    return GroundTruth(boxes, class_ids, torch.arange(batch_size).repeat_interleave(counts), batch_size)


def random_heads(
    spec: DetectorSpec, batch_size: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed + 1000)
    return tuple(
        torch.randn(spec.head_shape(i, batch_size), generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for i in range(len(spec.heads))
    )


def random_batch(
    preset: str, seed: int, batch_size: int = 2, most: int = 4, dtype: torch.dtype = torch.float64
) -> Batch:
    spec = spec_of(preset)
    truth = random_truth(seed, batch_size, most, spec.num_classes)
    return Batch(random_heads(spec, batch_size, seed, dtype), truth, spec)
