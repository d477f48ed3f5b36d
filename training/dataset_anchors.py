"""Anchors fitted to a data set for a network, and how they compare with the network's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError, DatasetError
from models.spec import DetectorSpec
from training.anchor_fit import AnchorFit, AnchorQuality, assess_anchors, assign_masks, fit_anchors
from training.data.audit import usable_rows
from training.data.datasets import DetectionDataset
from training.losses.preset import Preset
from training.losses.resolve import resolve_preset

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
        boxes = image.labels.boxes_xyxy_px[usable_rows(image)]
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
        raise DatasetError(f"expected labelled objects in {dataset.source} to fit anchors to, got none")
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
    preset = resolve_preset(None, spec)
    if isinstance(preset, Preset) and preset.match == "anchors_above":
        return preset.match_threshold
    return None
