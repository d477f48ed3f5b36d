"""Test-time augmentation for audits: detections of one image in mirrored and enlarged views, merged into one list.

A detection that all mirror images of a photo repeat is firmer than one that a single view gives. Every view's boxes
are mirrored back; boxes of one class that overlap are one detection, whose score is the mean over the views (0 where a
view does not have it). The view of enlarged parts counts for small boxes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.models.boxes import paired_iou
from yoloscope.models.detector import detect
from yoloscope.models.nms import diou_nms
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import DetectorSpec

View: TypeAlias = Literal["plain", "mirrored", "flipped", "turned", "tiled"]
"""The image as it is, mirrored left to right, flipped upside down, or both; or four overlapping parts of it, each as
large on the network input as the whole image is otherwise."""

SCORE_FLOOR: Final = 0.005
MAX_PER_VIEW: Final = 300
SAME_OBJECT_IOU: Final = 0.65
"""Boxes of one class that overlap by this much in different views are one detection."""
SUPPRESSION_IOU: Final = 0.45
_TILE: Final = 0.6
"""Side of a part of the tiled view, as a share of the image's: the parts overlap by a third."""
_TILED_SIDE: Final = 0.3
"""Boxes of a larger side, as a share of the image's, are seen in whole by few parts, so the tiled view has none."""
_CUT: Final = 0.01
"""A box within this share of a part's side from an edge inside the image is cut by it."""


class HeadsDetector(Protocol):
    """A detector whose raw heads can be had: an artifact in onnxruntime, or a torch network."""

    @property
    def spec(self) -> DetectorSpec:
        """The detector's description."""
        ...

    def heads(self, images: NDArray[np.float32], /) -> Sequence[NDArray[np.float32]]:
        """Return the raw heads of placed images [B, H, W, P] in levels 0..255."""
        ...


@dataclass(frozen=True)
class ViewDetections:
    """Detections of one image in all its views.

    ``boxes_xyxy_frac`` float32 [n, 4] as fractions of the image, ``scores`` float32 [n],
    ``class_ids`` int64 [n], ``view_index`` int64 [n]. ``heads`` are the raw heads of the plain view, each [1, ...].
    ``tiled`` is the index of the view of parts, None where there is none.
    """

    boxes_xyxy_frac: Tensor
    scores: Tensor
    class_ids: Tensor
    view_index: Tensor
    num_views: int
    heads: tuple[Tensor, ...]
    tiled: int | None = None

    def without_heads(self) -> ViewDetections:
        """Return the detections alone, which take little memory."""
        return replace(self, heads=())


@dataclass(frozen=True)
class MergedDetections:
    """Detections of a batch of images, each over all views, padded to the largest count K, score descending.

    ``boxes_xyxy_frac`` [B, K, 4], weighted by the views' scores; ``scores`` [B, K], the mean over the views, 0 in the
    padding; ``class_ids`` [B, K], -1 in the padding; ``spread`` [B, K], the mean of 1 - IoU of the views' boxes with
    the merged one.
    """

    boxes_xyxy_frac: Tensor
    scores: Tensor
    class_ids: Tensor
    spread: Tensor


@torch.no_grad()
def detect_views(detector: HeadsDetector, image: NDArray[np.uint8], views: Sequence[View]) -> ViewDetections:
    """Run a detector on the views of one image [h, w, P]; ``views`` starts with ``plain``, ``tiled`` comes last.

    The placed image is mirrored, not the image: a letterbox stays where it is.
    """
    if "tiled" not in views:
        return _detect_mirrored(detector, image, views)
    whole = _detect_mirrored(detector, image, views[:-1])
    boxes, scores, class_ids = _detect_parts(detector, image)
    return ViewDetections(
        torch.cat((whole.boxes_xyxy_frac, boxes)),
        torch.cat((whole.scores, scores)),
        torch.cat((whole.class_ids, class_ids)),
        torch.cat((whole.view_index, torch.full_like(class_ids, whole.num_views))),
        whole.num_views + 1,
        whole.heads,
        tiled=whole.num_views,
    )


def _detect_parts(detector: HeadsDetector, image: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes [n, 4] as fractions of the image, scores and classes of the small objects in four parts of it."""
    size = np.array((image.shape[1], image.shape[0]))
    part = np.maximum(np.round(size * _TILE), 1).astype(int)
    found = []
    for left in (0, size[0] - part[0]):
        for top in (0, size[1] - part[1]):
            start = np.array((left, top))
            pixels = np.ascontiguousarray(image[top : top + part[1], left : left + part[0]])
            one = _detect_mirrored(detector, pixels, ("plain",))
            low, high = one.boxes_xyxy_frac[:, :2], one.boxes_xyxy_frac[:, 2:]
            inner = torch.from_numpy(start > 0), torch.from_numpy(start + part < size)
            cut = ((low < _CUT) & inner[0]).any(1) | ((high > 1 - _CUT) & inner[1]).any(1)
            offset, scale = torch.from_numpy(start / size).float(), torch.from_numpy(part / size).float()
            boxes = torch.cat((low * scale + offset, high * scale + offset), 1)
            kept = ~cut & (_side(boxes) < _TILED_SIDE)
            found.append((boxes[kept], one.scores[kept], one.class_ids[kept]))
    boxes, scores, class_ids = (torch.cat(column) for column in zip(*found, strict=True))
    kept = diou_nms(boxes, scores, class_ids, SUPPRESSION_IOU, beta=None)[:MAX_PER_VIEW]
    return boxes[kept], scores[kept], class_ids[kept]


def _side(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).amax(1)


def _detect_mirrored(detector: HeadsDetector, image: NDArray[np.uint8], views: Sequence[View]) -> ViewDetections:
    spec, count = detector.spec, len(views)
    placed, placement = preprocess(image, spec)
    stacked = np.ascontiguousarray(np.stack([_to_view(placed, view) for view in views]))
    heads = tuple(torch.from_numpy(np.ascontiguousarray(head)) for head in detector.heads(stacked))
    thresholds = torch.full((2, count), SCORE_FLOOR)
    thresholds[1] = SUPPRESSION_IOU
    counts, boxes_px, scores, class_ids = detect(heads, spec, thresholds[0], thresholds[1])
    size = torch.tensor((spec.input_width, spec.input_height) * 2, dtype=torch.float32)
    found = torch.arange(boxes_px.shape[1]) < counts.clamp_max(MAX_PER_VIEW)[:, None]
    view_index = found.nonzero()[:, 0]
    boxes = (boxes_px / size)[found]
    for index, view in enumerate(views):
        rows = view_index == index
        boxes[rows] = _from_view(boxes[rows], view)
    in_pixels = placement.invert((boxes * size).numpy())
    boxes = torch.from_numpy(in_pixels / ((placement.image_width, placement.image_height) * 2)).float()
    return ViewDetections(
        boxes, scores[found], class_ids[found], view_index, count, tuple(head[:1].clone() for head in heads)
    )


def _to_view(placed: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    across = placed[:, ::-1] if view in ("mirrored", "turned") else placed
    return across[::-1] if view in ("flipped", "turned") else across


def _from_view(boxes: Tensor, view: View) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    if view in ("mirrored", "turned"):
        x1, x2 = 1 - x2, 1 - x1
    if view in ("flipped", "turned"):
        y1, y2 = 1 - y2, 1 - y1
    return torch.stack((x1, y1, x2, y2), -1)


@torch.no_grad()
def merge_views(images: Sequence[ViewDetections]) -> MergedDetections:
    """Merge the views of each image; an image's result does not depend on the others."""
    pooled = _pool(images)
    merged = _merge(pooled, images[0].num_views, images[0].tiled) if len(pooled.scores) else pooled
    kept = diou_nms(merged.boxes, merged.scores, merged.group, SUPPRESSION_IOU, beta=None)
    kept = kept[merged.image[kept].argsort(stable=True)]
    return _pad(merged.select(kept), len(images))


@dataclass(frozen=True)
class _Pool:
    """Detections of several images, flat."""

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor
    image: Tensor
    view: Tensor
    spread: Tensor

    @property
    def group(self) -> Tensor:
        return self.image * (int(self.class_ids.max()) + 1 if len(self.class_ids) else 1) + self.class_ids

    def select(self, rows: Tensor) -> _Pool:
        return _Pool(
            self.boxes[rows], self.scores[rows], self.class_ids[rows], self.image[rows], self.view[rows],
            self.spread[rows],
        )  # fmt: skip


def _pool(images: Sequence[ViewDetections]) -> _Pool:
    counts = torch.tensor([len(image.scores) for image in images])
    scores = torch.cat([image.scores for image in images])
    return _Pool(
        torch.cat([image.boxes_xyxy_frac for image in images]),
        scores,
        torch.cat([image.class_ids for image in images]),
        torch.arange(len(images)).repeat_interleave(counts),
        torch.cat([image.view_index for image in images]),
        torch.zeros_like(scores),
    )


def _merge(pool: _Pool, num_views: int, tiled: int | None) -> _Pool:
    """Join the boxes of one object: each box goes to the best of those that represent objects and overlap it."""
    heads = diou_nms(pool.boxes, pool.scores, pool.group, SAME_OBJECT_IOU, beta=None)
    owner = _owners(pool, heads)
    weights = pool.scores.new_zeros(len(heads), num_views)
    best = _best_of_view(pool, owner, num_views)
    cluster, view = owner[best], pool.view[best]
    weights[cluster, view] = pool.scores[best]
    boxes = pool.boxes.new_zeros(len(heads), num_views, 4)
    boxes[cluster, view] = pool.boxes[best]
    counted = torch.full((len(heads),), float(num_views))
    if tiled is not None:
        large = _side(pool.boxes[heads]) >= _TILED_SIDE
        weights[large, tiled] = 0
        counted[large] -= 1
    total, joined = weights[:, 0], weights[:, :1] * boxes[:, 0]
    for index in range(1, num_views):
        total = total + weights[:, index]
        joined = joined + weights[:, index : index + 1] * boxes[:, index]
    score = total / counted
    joined = joined / total[:, None]
    present = weights > 0
    apart = torch.where(present, 1 - paired_iou(boxes, joined[:, None]), 0.0)
    spread = apart[:, 0]
    for index in range(1, num_views):
        spread = spread + apart[:, index]
    first = pool.select(heads)
    return _Pool(joined, score, first.class_ids, first.image, first.view, spread / present.sum(1))


def _owners(pool: _Pool, heads: Tensor) -> Tensor:
    """Return for each box [n] the position in ``heads`` of the best representative that overlaps it enough."""
    place, apart = _places(pool)
    order = place[heads].argsort(stable=True)
    sorted_places = place[heads][order]
    first = torch.searchsorted(sorted_places, place - apart)
    last = torch.searchsorted(sorted_places, place + apart, right=True)
    counts = last - first
    row = torch.arange(len(place)).repeat_interleave(counts)
    offset = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    candidate = order[first.repeat_interleave(counts) + offset]
    overlap = paired_iou(pool.boxes[row], pool.boxes[heads[candidate]])
    fits = (overlap > SAME_OBJECT_IOU) | (heads[candidate] == row)
    nobody = len(heads)
    owner = torch.full((len(place),), nobody).scatter_reduce(0, row[fits], candidate[fits], "amin")
    return owner.clamp_max(nobody - 1)


def _places(pool: _Pool) -> tuple[Tensor, Tensor]:
    """Return the place float64 [n] of each box on one line, and how far from it one that overlaps it enough can lie.

    Each image and class has a part of the line, on which boxes lie by their horizontal center. IoU > t bounds the
    distance of two centers by w * (1 - t) / (2 * t) for the width w of either; a thousandth more is for rounding.
    """
    left, right = pool.boxes[:, 0].double(), pool.boxes[:, 2].double()
    low = min(0.0, float(left.min()))
    apart = (right - left).clamp_min(0) * (1 - SAME_OBJECT_IOU) / (2 * SAME_OBJECT_IOU) + 1e-3
    part = max(1.0, float(right.max())) - low + 2 * float(apart.max())
    return pool.group * part + (left + right) / 2 - low, apart


def _best_of_view(pool: _Pool, owner: Tensor, num_views: int) -> Tensor:
    """Return the box of highest score of every cluster and view."""
    key = owner * num_views + pool.view
    by_score = pool.scores.argsort(descending=True, stable=True)
    by_key = by_score[key[by_score].argsort(stable=True)]
    first = torch.ones(len(by_key), dtype=torch.bool)
    first[1:] = key[by_key][1:] != key[by_key][:-1]
    return by_key[first]


def _pad(pool: _Pool, batch: int) -> MergedDetections:
    counts = torch.bincount(pool.image, minlength=batch)
    width = int(counts.max()) if batch else 0
    column = torch.arange(len(pool.image)) - (counts.cumsum(0) - counts)[pool.image]
    boxes = pool.boxes.new_zeros(batch, width, 4)
    scores, spread = pool.scores.new_zeros(batch, width), pool.scores.new_zeros(batch, width)
    class_ids = torch.full((batch, width), -1)
    boxes[pool.image, column], scores[pool.image, column] = pool.boxes, pool.scores
    spread[pool.image, column], class_ids[pool.image, column] = pool.spread, pool.class_ids
    return MergedDetections(boxes, scores, class_ids, spread)
