"""Fit the calibration of a label audit to a labeled data set, by errors of known kind that are injected into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from yoloscope.models.boxes import paired_iou
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations import ImageLabels
from yoloscope.training.diagnostics.calibration import (
    FEATURES,
    AuditCalibration,
    Channel,
    fit_channel,
    fit_missing,
    stack,
)
from yoloscope.training.diagnostics.evidence import (
    MATCH_IOU,
    LabelBatch,
    best_classes,
    detection_features,
    label_evidence,
    typical_sizes,
)
from yoloscope.training.diagnostics.findings import LABEL_KINDS, FindingKind
from yoloscope.training.diagnostics.injection import CorruptedLabels, inject_errors
from yoloscope.training.diagnostics.views import MergedDetections, View, ViewDetections, merge_views

VIEWS: Final[tuple[View, ...]] = ("plain", "mirrored")
TILED_VIEWS: Final[tuple[View, ...]] = (*VIEWS, "tiled")
"""For detectors that miss small objects; three times as many runs of the network."""
LEAST_LABELS: Final = 30
SEEDS: Final = tuple(range(200, 206))
RATE: Final = 0.05
_PART: Final = 16
"""Images whose labels and detections are compared at once, which bounds the memory."""


@dataclass(frozen=True)
class CalibrationImage:
    """Labels of one image and its detections."""

    labels: ImageLabels
    found: ViewDetections


def calibrate(
    images: Sequence[CalibrationImage],
    class_names: Sequence[str],
    data: str,
    seeds: Sequence[int] = SEEDS,
    views: Sequence[View] = VIEWS,
) -> AuditCalibration:
    """Fit all channels to detections in ``views``; ``data`` names the data set.

    Raises DatasetError where there are too few labels.
    """
    parts = [slice(start, start + _PART) for start in range(0, len(images), _PART)]
    labels = [LabelBatch.of([image.labels for image in images[part]]) for part in parts]
    count = sum(int(batch.judged.sum()) for batch in labels)
    if count < LEAST_LABELS:
        raise DatasetError(f"expected at least {LEAST_LABELS} labels to calibrate an audit with, got {count} in {data}")
    sizes = typical_sizes(labels, len(class_names))
    merged = [merge_views([image.found for image in images[part]]) for part in parts]
    detections = [labeled_detections(batch, found, sizes) for batch, found in zip(labels, merged, strict=True)]
    features, labeled = (torch.cat(columns) for columns in zip(*detections, strict=True))
    channels: dict[FindingKind, Channel] = {"missing": fit_missing(features, labeled, count)}
    evidence = []
    for seed in seeds:
        corrupted = inject_errors([image.labels for image in images], class_names, seed, rate=RATE)
        evidence += [_label_features(corrupted[part], found) for part, found in zip(parts, merged, strict=True)]
    for index, kind in enumerate(LABEL_KINDS):
        features = stack([features[index] for features, _ in evidence], len(FEATURES[kind]))
        positive = torch.tensor([found == kind for _, kinds in evidence for found in kinds])
        channels[kind] = fit_channel(kind, features, positive)
    return AuditCalibration(
        views=tuple(views),
        typical_sizes=tuple(sizes.tolist()),
        channels=channels,
        data=data,
        images=len(images),
        labels=count,
    )


def labeled_detections(labels: LabelBatch, found: MergedDetections, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features [n, F] of all detections outside crowd regions, and which have a label, bool [n].

    Of detections of one object in several classes the best one counts, as among the candidates of an audit.
    """
    overlap = paired_iou(found.boxes_xyxy_frac[:, :, None], labels.boxes_xyxy_frac[:, None])
    has_label = ((overlap >= MATCH_IOU) & labels.judged[:, None]).any(2)
    in_crowd = ((overlap > 0) & labels.crowd[:, None]).any(2)
    chosen = (found.class_ids >= 0) & (has_label | ~in_crowd)
    image, column = best_classes(found, *chosen.nonzero(as_tuple=True))
    return detection_features(found, image, column, labels.size_px, sizes), has_label[image, column]


def _label_features(
    corrupted: Sequence[CorruptedLabels], merged: MergedDetections
) -> tuple[tuple[Tensor, Tensor, Tensor], list[FindingKind | None]]:
    """Return the features of all judged labels by kind, and the error that each label is."""
    batch = LabelBatch.of([one.labels for one in corrupted])
    evidence = label_evidence(batch, merged)
    places = zip(evidence.image.tolist(), batch.index[evidence.image, evidence.slot].tolist(), strict=True)
    kinds = [corrupted[image].kinds[index] for image, index in places]
    return (evidence.classes, evidence.location, evidence.spurious), kinds
