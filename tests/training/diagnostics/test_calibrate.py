"""Calibration of audits on a labeled data set, with detections that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.training.diagnostics.painted import NAMES, label, labels_of
from yoloscope.models.errors import DatasetError
from yoloscope.training.diagnostics import calibrate as module
from yoloscope.training.diagnostics.calibrate import CalibrationImage, calibrate, labeled_detections
from yoloscope.training.diagnostics.evidence import LabelBatch, label_evidence
from yoloscope.training.diagnostics.findings import KINDS, LABEL_KINDS
from yoloscope.training.diagnostics.injection import inject_errors
from yoloscope.training.diagnostics.views import MergedDetections, ViewDetections, merge_views


def _image(seed: int, objects: int = 4) -> CalibrationImage:
    """Objects in the corners of 400x400 px; the detector sees them well in both views, and one more that is faint."""
    source = np.random.default_rng(seed)
    labels, boxes, scores, class_ids = [], [], [], []
    for number in range(objects):
        low = source.uniform(10, 60, 2) + 200 * np.array((number % 2, number // 2))
        box = np.concatenate((low, low + source.uniform(60, 120, 2)))
        class_id = int(source.integers(3))
        labels.append(label(class_id, tuple(box.tolist())))
        for _ in range(2):
            boxes.append(box + source.normal(0, 2, 4))
            scores.append(source.uniform(0.6, 0.99))
            class_ids.append(class_id)
    boxes.append(np.array([5.0, 5.0, 40.0, 40.0]))
    scores.append(float(source.uniform(0.01, 0.3)))
    class_ids.append(0)
    found = ViewDetections(
        torch.tensor(np.stack(boxes) / 400, dtype=torch.float32),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(class_ids),
        torch.tensor([0, 1] * objects + [0]),
        2,
        (),
    )
    return CalibrationImage(labels_of(*labels, width=400, height=400), found)


IMAGES = [_image(seed) for seed in range(40)]


def test_it_names_its_data_and_has_every_kind() -> None:
    found = calibrate(IMAGES, NAMES, "made up", seeds=(1,))
    assert (found.data, found.images, found.labels) == ("made up", 40, 160)
    assert set(found.channels) == set(KINDS)
    assert found.views == ("plain", "mirrored")
    sides = [
        ((x2 - x1) * (y2 - y1)) ** 0.5 / 400
        for image in IMAGES
        for each in image.labels.objects
        for x1, y1, x2, y2 in [each.box_xyxy_px]
    ]
    assert all(min(sides) <= size <= max(sides) for size in found.typical_sizes)


def test_errors_that_it_has_not_seen_are_told_from_labels_that_are_right() -> None:
    """Detections are nearly perfect, so every error of a label is more probable than every right label but a few."""
    found = calibrate(IMAGES, NAMES, "made up", seeds=(1, 2))
    corrupted = inject_errors([image.labels for image in IMAGES], NAMES, 99, rate=0.1)
    batch = LabelBatch.of([one.labels for one in corrupted])
    evidence = label_evidence(batch, merge_views([image.found for image in IMAGES]))
    kinds = [
        corrupted[image].kinds[index]
        for image, index in zip(
            evidence.image.tolist(), batch.index[evidence.image, evidence.slot].tolist(), strict=True
        )
    ]
    for kind, values in zip(LABEL_KINDS, (evidence.classes, evidence.location, evidence.spurious), strict=True):
        probability = found.probability(kind, values)
        wrong = torch.tensor([each == kind for each in kinds])
        assert wrong.sum() > 5
        assert (probability[wrong][:, None] > probability[~wrong]).double().mean() > 0.97


def test_the_memory_is_bounded_and_parts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calibrate(IMAGES, NAMES, "made up", seeds=(1,))
    monkeypatch.setattr(module, "_PART", 3)
    sizes = []

    def merge(found: Sequence[ViewDetections]) -> MergedDetections:
        sizes.append(len(found))
        return merge_views(found)

    monkeypatch.setattr(module, "merge_views", merge)
    assert calibrate(IMAGES, NAMES, "made up", seeds=(1,)) == whole
    assert max(sizes) == 3


def test_too_few_labels() -> None:
    with pytest.raises(DatasetError, match="expected at least 30 labels to calibrate an audit with, got 28 in cells"):
        calibrate(IMAGES[:7], NAMES, "cells")
    with pytest.raises(DatasetError, match="got 0 in cells"):
        calibrate([], NAMES, "cells")


def test_detections_have_a_label_from_an_overlap_of_a_half_and_crowds_take_theirs_out() -> None:
    """The last one is a second class on the object of the first."""
    labeled_boxes = label(1, (0, 0, 20, 20)), label(1, (0, 70, 20, 90))
    crowd = label(0, (60, 60, 100, 100), crowd=True)
    labels = LabelBatch.of([labels_of(*labeled_boxes, crowd, width=100, height=100)])
    boxes = [(0, 0, 20, 20), (0, 70, 20, 80.2), (0, 0, 20, 9.8), (50, 50, 61, 61), (30, 30, 50, 50), (0, 0, 20, 10.2)]
    merged = merge_views(
        [
            ViewDetections(
                torch.tensor(boxes) / 100,
                torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
                torch.tensor([0, 1, 2, 0, 0, 1]),
                torch.zeros(6, dtype=torch.int64),
                1,
                (),
            )
        ]
    )
    features, labeled = labeled_detections(labels, merged, torch.tensor([0.2, 0.2, 0.2]))
    assert labeled.tolist() == [True, True, False, False]
    assert len(features) == 4
