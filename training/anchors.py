"""Anchors fitted to a data set for a network, and how they compare with the network's own.

Anchors fitted to the objects of a data set: k-means on 1 - IoU, a genetic refinement, masks by stride.

A shape is (width, height) in network pixels; the IoU of two shapes is that of boxes with a common center.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.anchors import group_by_stride
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import usable_rows
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.losses import get_preset

Shapes = NDArray[np.floating]
Masks = tuple[tuple[int, ...], ...]
_SMALLEST_PX = 1.0


@dataclass(frozen=True)
class AnchorQuality:
    """Fit of anchors to shapes: mean best IoU, best possible recall, and the indices of lost objects."""

    mean_best_iou: float
    best_possible_recall: float
    lost: tuple[int, ...]


@dataclass(frozen=True)
class AnchorFit:
    """Fitted anchors by ascending area as (width, height) in network pixels, their masks by stride, their quality."""

    anchors_px: tuple[tuple[float, float], ...]
    masks: Masks
    quality: AnchorQuality


def shape_iou(shapes_px: Shapes, anchors_px: Shapes) -> NDArray[np.float64]:
    """Return the IoU [N, K] of shapes [N, 2] with anchors [K, 2]; 0 where neither has area."""
    width, height = (shapes_px[:, axis, None].astype(np.float64) for axis in (0, 1))
    anchor_width, anchor_height = (anchors_px[None, :, axis] for axis in (0, 1))
    overlap = np.minimum(width, anchor_width) * np.minimum(height, anchor_height)
    union = width * height + anchor_width * anchor_height - overlap
    return np.asarray(overlap / np.maximum(union, 1e-12), np.float64)


def assess_anchors(
    shapes_px: Shapes, anchors_px: Shapes, masks: Masks, recall_iou: float = 0.5, multi_iou: float | None = None
) -> AnchorQuality:
    """Return the quality of anchors [K, 2] for shapes [N, 2].

    ``best_possible_recall`` is the share of shapes whose best anchor in any mask reaches ``recall_iou``. An object is
    lost where training would give it no predictor: its best anchor belongs to no mask, and none in a mask exceeds
    ``multi_iou`` (None: the best anchor alone counts), or it is under a pixel wide or high.
    """
    if not len(shapes_px):
        return AnchorQuality(0.0, 0.0, ())
    iou = shape_iou(shapes_px, anchors_px)
    in_masks = np.zeros(len(anchors_px), np.bool_)
    in_masks[[index for mask in masks for index in mask]] = True
    best_in_masks = iou[:, in_masks].max(axis=1, initial=0)
    reached = in_masks[iou.argmax(axis=1)]
    if multi_iou is not None:
        reached = reached | (best_in_masks > multi_iou)
    lost = ~reached | (shapes_px.min(axis=1) < _SMALLEST_PX)
    recall = float((best_in_masks >= recall_iou).mean())
    return AnchorQuality(float(iou.max(axis=1).mean()), recall, tuple(map(int, np.flatnonzero(lost))))


def assign_masks(anchors_px: Shapes, strides: Sequence[int]) -> tuple[NDArray[np.float64], Masks]:
    """Return anchors [K, 2] by ascending area, and for each stride, in the order given, its indices.

    Every stride gets as many; the smallest anchors go to the smallest stride. Raise ConfigError where K is not a
    multiple of the number of strides.
    """
    if not strides or len(set(strides)) != len(strides):
        raise ConfigError(f"expected distinct strides, got {tuple(strides)}")
    ordered, masks = group_by_stride([(float(width), float(height)) for width, height in anchors_px], strides)
    return np.array(ordered), masks


def cluster_shapes(
    shapes_px: Shapes, num_anchors: int, generator: np.random.Generator, max_rounds: int = 100
) -> NDArray[np.float64]:
    """Return the centers [K, 2] of k-means on 1 - IoU with k-means++ starts; a center is the mean of its shapes.

    Source: Redmon and Farhadi, YOLO9000, 2017, section 2 (dimension clusters).
    """
    shapes = _checked_shapes(shapes_px, num_anchors)
    centers = _spread_starts(shapes, num_anchors, generator)
    owner = np.full(len(shapes), -1)
    for _ in range(max_rounds):
        iou = shape_iou(shapes, centers)
        nearest = iou.argmax(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        count = np.bincount(owner, minlength=num_anchors)
        sums = np.stack([np.bincount(owner, shapes[:, axis], num_anchors) for axis in (0, 1)], axis=1)
        farthest_first = shapes[iou.max(axis=1).argsort(kind="stable")[:num_anchors]]
        centers = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], farthest_first)
    return centers


def refine_anchors(
    shapes_px: Shapes,
    anchors_px: Shapes,
    generator: np.random.Generator,
    generations: int = 100,
    population: int = 10,
) -> NDArray[np.float64]:
    """Return anchors [K, 2] of at least the mean best IoU of those given, by mutation and crossover.

    A generation takes each anchor of each child from one of two parents and multiplies some of its sides by
    log-normal factors; the best of parents and children survive.
    """
    shapes = shapes_px.astype(np.float64)
    parents = np.repeat(np.asarray(anchors_px, np.float64)[None], population, axis=0)
    fitness = _fitness(shapes, parents)
    shape = parents.shape
    for generation in range(generations):
        spread = 0.2 * 0.97**generation + 0.005
        pairs = generator.integers(population, size=(2, population))
        inherits_first = generator.random((*shape[:2], 1)) < 0.5
        children = np.where(inherits_first, parents[pairs[0]], parents[pairs[1]])
        mutated = generator.random(shape) < 0.3
        children = np.maximum(children * np.exp(spread * mutated * generator.standard_normal(shape)), _SMALLEST_PX)
        candidates = np.concatenate((parents, children))
        scores = np.concatenate((fitness, _fitness(shapes, children)))
        survivors = (-scores).argsort(kind="stable")[:population]
        parents, fitness = candidates[survivors], scores[survivors]
    return np.asarray(parents[0], np.float64)


def fit_anchors(
    shapes_px: Shapes, strides: Sequence[int], per_stride: int = 3, seed: int = 0, multi_iou: float | None = None
) -> AnchorFit:
    """Return the best anchors found for shapes [N, 2], ``per_stride`` for every stride.

    Shapes under a pixel are left out of the fit but count as lost. Raise ConfigError where fewer distinct shapes are
    left than anchors are asked for.
    """
    generator = np.random.default_rng(seed)
    usable = shapes_px[shapes_px.min(axis=1, initial=np.inf) >= _SMALLEST_PX]
    clustered = cluster_shapes(usable, per_stride * len(strides), generator)
    anchors, masks = assign_masks(refine_anchors(usable, clustered, generator), strides)
    rows = tuple((float(width), float(height)) for width, height in anchors)
    return AnchorFit(rows, masks, assess_anchors(shapes_px, anchors, masks, multi_iou=multi_iou))


def _fitness(shapes: NDArray[np.float64], anchor_sets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean best IoU [P] of sets [P, K, 2]."""
    return np.array([shape_iou(anchors, shapes).max(axis=0).mean() for anchors in anchor_sets])


def _checked_shapes(shapes_px: Shapes, num_anchors: int) -> NDArray[np.float64]:
    shapes = shapes_px.astype(np.float64).reshape(-1, 2)
    distinct = len(np.unique(shapes, axis=0))
    if num_anchors < 1 or distinct < num_anchors:
        raise ConfigError(
            f"expected at least {max(num_anchors, 1)} boxes of distinct width and height for as many anchors, "
            f"got {distinct} of at least a pixel"
        )
    return shapes


def _spread_starts(
    shapes: NDArray[np.float64], num_anchors: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return k-means++ starts [K, 2]: each next one drawn in proportion to its squared distance from those chosen."""
    chosen = [int(generator.integers(len(shapes)))]
    distance = 1 - shape_iou(shapes, shapes[chosen])[:, 0]
    while len(chosen) < num_anchors:
        odds = distance**2
        chosen.append(int(generator.choice(len(shapes), p=odds / odds.sum())))
        distance = np.minimum(distance, 1 - shape_iou(shapes, shapes[chosen[-1:]])[:, 0])
    return shapes[chosen]


_DECIMALS = 1


@dataclass(frozen=True)
class AnchorComparison:
    """A network's own anchors and fitted ones, on the same objects.

    ``fitted`` is rounded to tenths of a pixel, as it is shown, and judged so; ``multi_iou`` is the overlap from which
    the network's loss gives an object more anchors than its best one (None: never).
    """

    num_objects: int
    multi_iou: float | None
    published: AnchorQuality
    fitted: AnchorFit


def object_shapes_px(dataset: DetectionDataset, spec: DetectorSpec) -> NDArray[np.float64]:
    """Return (width, height) [N, 2] of every object that can be learnt, in network pixels."""
    shapes = [np.zeros((0, 2))]
    for image in dataset.images:
        boxes = image.labels.boxes_xyxy_px[usable_rows(image.labels)]
        scale = np.array((spec.input_width / image.width, spec.input_height / image.height))
        if spec.resize.placement == "letterbox":
            scale = np.full(2, scale.min())
        shapes.append((boxes[:, 2:] - boxes[:, :2]) * scale)
    return np.concatenate(shapes)


def fit_dataset_anchors(
    dataset: DetectionDataset, spec: DetectorSpec, count: int | None = None, seed: int = 0
) -> AnchorFit:
    """Return ``count`` anchors (None: as many as the heads use) fitted to a data set, shared out among the heads.

    Raises ConfigError for a network without anchors, a count that cannot be shared out equally, or fewer distinct boxes
    than anchors; DatasetError where there are no objects.
    """
    strides = anchor_strides(spec)
    if count is not None and (count < 1 or count % len(strides)):
        raise ConfigError(f"expected a multiple of the {len(strides)} heads of {spec.name} as count, got {count}")
    shapes = object_shapes_px(dataset, spec)
    if not len(shapes):
        raise DatasetError(f"expected labeled objects in {dataset.source} to fit anchors to, got none")
    per_stride = spec.heads[0].num_anchors if count is None else count // len(strides)
    return fit_anchors(shapes, strides, per_stride, seed, _multi_iou(spec))


def compare_anchors(
    dataset: DetectionDataset, spec: DetectorSpec, count: int | None = None, seed: int = 0
) -> AnchorComparison:
    """Fit anchors and judge them beside the spec's own; raises as ``fit_dataset_anchors`` does."""
    fit = fit_dataset_anchors(dataset, spec, count, seed)
    shapes, multi_iou = object_shapes_px(dataset, spec), _multi_iou(spec)
    rounded, masks = assign_masks(np.round(np.array(fit.anchors_px), _DECIMALS), anchor_strides(spec))
    own_masks = tuple(head.anchor_indices for head in spec.heads)
    return AnchorComparison(
        len(shapes),
        multi_iou,
        assess_anchors(shapes, np.array(spec.anchors_px), own_masks, multi_iou=multi_iou),
        AnchorFit(
            tuple((float(width), float(height)) for width, height in rounded),
            masks,
            assess_anchors(shapes, rounded, masks, multi_iou=multi_iou),
        ),
    )


def anchor_strides(spec: DetectorSpec) -> list[int]:
    """Return the stride of every head; raise ConfigError for a network without anchors."""
    if not spec.anchors_px:
        raise ConfigError(f"anchors: expected a network that has anchors, got {spec.name}, which has none")
    return [round(spec.head_stride(index)[0]) for index in range(len(spec.heads))]


def _multi_iou(spec: DetectorSpec) -> float | None:
    return get_preset(None, spec).extra_anchor_iou
