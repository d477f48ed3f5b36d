"""Evidence for label errors on scenes that one can compute by hand; images of 100x100 px."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.training.diagnostics.painted import label, labels_of
from yoloscope.training.data.annotations import LabelObject
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.evidence import (
    CLASS_FEATURES,
    LOCATION_FEATURES,
    SPURIOUS_FEATURES,
    LabelBatch,
    LabelEvidence,
    candidate_evidence,
    label_evidence,
    typical_sizes,
)
from yoloscope.training.diagnostics.reasons import Suspicions, describe_evidence
from yoloscope.training.diagnostics.views import MergedDetections

Detected = tuple[BoxXyxy, float, int]
"""Box in percent of the image, score, class."""
NOTHING = math.log(1e-4 / (1 - 1e-4))
"""Log odds of a score of 0, which are bounded."""
SIZES = torch.tensor([0.2, 0.2, 0.2])


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _found(*images: Sequence[Detected]) -> MergedDetections:
    shape = len(images), max(map(len, images))
    boxes, scores = torch.zeros(*shape, 4), torch.zeros(shape)
    class_ids = torch.full(shape, -1)
    for image, detections in enumerate(images):
        for column, (box, score, class_id) in enumerate(detections):
            boxes[image, column] = torch.tensor(box) / 100
            scores[image, column], class_ids[image, column] = score, class_id
    return MergedDetections(boxes, scores, class_ids, torch.where(class_ids >= 0, 0.125, 0.0))


def _batch(*images: list[LabelObject]) -> LabelBatch:
    return LabelBatch.of([labels_of(*objects, width=100, height=100) for objects in images])


def _named(evidence: LabelEvidence, row: int = 0) -> dict[str, dict[str, float]]:
    return {
        "class": dict(zip(CLASS_FEATURES, evidence.classes[row].tolist(), strict=True)),
        "location": dict(zip(LOCATION_FEATURES, evidence.location[row].tolist(), strict=True)),
        "spurious": dict(zip(SPURIOUS_FEATURES, evidence.spurious[row].tolist(), strict=True)),
    }


class TestLabels:
    def test_the_index_counts_unusable_labels_and_they_are_left_out(self) -> None:
        batch = _batch([label(0, (5, 5, 5, 9)), label(1, (10, 20, 30, 40)), label(-1, (1, 1, 9, 9))], [])
        assert batch.index.tolist() == [[1], [-1]]
        assert batch.class_ids.tolist() == [[1], [-1]]
        assert batch.boxes_xyxy_frac[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
        assert batch.judged.tolist() == [[True], [False]]

    def test_a_crowd_region_is_not_judged(self) -> None:
        batch = _batch([label(0, (0, 0, 50, 50), crowd=True), label(0, (60, 60, 80, 80))])
        assert batch.judged.tolist() == [[False, True]]

    def test_typical_sizes_are_medians_by_class_and_of_all_where_a_class_has_none(self) -> None:
        objects = [label(0, (0, 0, side, side)) for side in (10, 20, 90)] + [label(1, (0, 0, 40, 90))]
        sizes = typical_sizes([_batch(objects), _batch([])], 3)
        assert sizes.tolist() == pytest.approx([0.2, 0.6, 0.2])


class TestLabelEvidence:
    def test_a_label_on_its_detection(self) -> None:
        evidence = label_evidence(_batch([label(0, (20, 20, 40, 60))]), _found([((20, 20, 40, 60), 0.75, 0)]))
        named = _named(evidence)
        assert named["class"] == pytest.approx(
            {
                "overlap_other": NOTHING,
                "overlap_same": _logit(0.75),
                "score_other": NOTHING,
                "score_same": _logit(0.75),
            },
            rel=1e-5,
        )
        assert named["spurious"] == pytest.approx(
            {
                "overlap_any": _logit(0.75),
                "overlap_same": _logit(0.75),
                "score_any": _logit(0.75),
                "score_touching": _logit(0.75),
                "log_size": math.log(20 * 40) / 2,
                "cut": 0,
                "crowding": 0,
            },
            rel=1e-5,
        )
        expected = dict.fromkeys(LOCATION_FEATURES, 0.0) | {
            "score": 0.75,
            "iou": 1,
            "iou_squared": 1,
            "iou_high": 1,
            "score_same": _logit(0.75),
            "spread": 0.125,
            "best_iou": 1,
            "best_iou_squared": 1,
            "best_iou_high": 1,
        }
        assert named["location"] == pytest.approx(expected, abs=1e-5)
        assert (evidence.other.tolist(), evidence.located.tolist(), evidence.iou.tolist()) == ([-1], [0], [1])

    def test_a_label_on_a_detection_of_another_class(self) -> None:
        """IoU of 20x40 in 20x50: .8."""
        evidence = label_evidence(_batch([label(0, (20, 20, 40, 60))]), _found([((20, 20, 40, 70), 0.5, 2)]))
        named = _named(evidence)
        assert named["class"] == pytest.approx(
            {
                "overlap_other": _logit(0.4),
                "overlap_same": NOTHING,
                "score_other": _logit(0.5),
                "score_same": NOTHING,
            },
            rel=1e-5,
        )
        assert named["spurious"]["overlap_any"] == pytest.approx(_logit(0.4), rel=1e-5)
        assert named["location"] == dict.fromkeys(LOCATION_FEATURES, 0.0) | {
            "iou_low": 1,
            "best_iou_low": 1,
            "score_same": pytest.approx(NOTHING),
        }
        assert (evidence.other.tolist(), evidence.located.tolist(), evidence.iou.tolist()) == ([0], [-1], [0])

    def test_a_moved_label(self) -> None:
        """40x40 px against 40x40 moved by 20 px: IoU 1/3, centers half a side apart; 20x20 of another label within."""
        moved, other = label(0, (20, 20, 60, 60)), label(1, (60, 20, 80, 40))
        evidence = label_evidence(_batch([moved, other]), _found([((40, 20, 80, 60), 0.5, 0)]))
        location = _named(evidence)["location"]
        assert location["iou"] == pytest.approx(1 / 3, rel=1e-5)
        assert location["iou_low"] == 1
        assert location["disagreement"] == pytest.approx(0.5 * 2 / 3, rel=1e-5)
        assert location["center_offset"] == pytest.approx(0.5, rel=1e-5)
        assert location["size_ratio"] == pytest.approx(0, abs=1e-6)
        assert location["rival_iou"] == pytest.approx(400 / 1600, rel=1e-5)
        assert _named(evidence)["class"]["score_same"] == pytest.approx(NOTHING)

    def test_a_faint_detection_of_another_class_far_off_says_nothing_of_the_class(self) -> None:
        """It overlaps by 100 / 700, under .15."""
        evidence = label_evidence(_batch([label(0, (20, 20, 40, 40))]), _found([((30, 30, 50, 50), 0.9, 1)]))
        assert _named(evidence)["class"]["overlap_other"] == pytest.approx(NOTHING)
        assert _named(evidence)["spurious"]["score_touching"] == pytest.approx(_logit(0.9), rel=1e-5)

    def test_cut_and_crowded_labels(self) -> None:
        objects = [label(0, (0, 20, 20, 40)), label(1, (0, 20, 20, 60)), label(2, (50, 50, 60, 99.7))]
        spurious = [_named(label_evidence(_batch(objects), _found([])), row)["spurious"] for row in range(3)]
        assert [features["cut"] for features in spurious] == [1, 1, 1]
        assert [features["crowding"] for features in spurious] == pytest.approx([0.5, 0.5, 0])

    def test_labels_without_any_detection(self) -> None:
        evidence = label_evidence(_batch([label(0, (20, 20, 40, 60))], []), _found([], []))
        assert evidence.image.tolist() == [0]
        assert torch.isfinite(torch.cat((evidence.classes, evidence.location, evidence.spurious), 1)).all()
        assert (evidence.other.tolist(), evidence.located.tolist()) == ([-1], [-1])


class TestCandidates:
    def _columns(self, objects: list[LabelObject], detected: Sequence[Detected]) -> list[int]:
        return candidate_evidence(_batch(objects), _found(detected), SIZES).column.tolist()

    def test_a_label_of_any_class_accounts_for_a_detection_from_an_overlap_of_a_half(self) -> None:
        detected = [((20, 20, 40, 40), 0.9, 0)]
        assert self._columns([], detected) == [0]
        assert self._columns([label(1, (20, 20, 40, 30))], detected) == []
        assert self._columns([label(1, (20, 20, 40, 29.9))], detected) == [0]

    def test_a_crowd_region_accounts_for_what_lies_half_in_it(self) -> None:
        detected = [((20, 20, 40, 40), 0.9, 0)]
        assert self._columns([label(1, (0, 0, 100, 30), crowd=True)], detected) == []
        assert self._columns([label(1, (0, 0, 100, 29), crowd=True)], detected) == [0]

    def test_features(self) -> None:
        """A typical label is .2 of the image's side, 20 px; 10 px of the cut one are seen."""
        detected = [((20, 20, 40, 60), 0.9, 0), ((-5, 20, 10, 60), 0.25, 1)]
        features = candidate_evidence(_batch([]), _found(detected), SIZES).features
        np.testing.assert_allclose(features, [[_logit(0.9), 0, 0], [_logit(0.25), 1, 0.5]], rtol=1e-5)


def test_a_label_and_a_candidate_have_the_same_bits_in_any_batch() -> None:
    source = np.random.default_rng(4)

    def boxes(count: int) -> list[BoxXyxy]:
        low, size = source.uniform(0, 60, (count, 2)), source.uniform(5, 40, (count, 2))
        return [tuple(row) for row in np.concatenate((low, low + size), 1).tolist()]

    labels = [[label(int(source.integers(3)), box) for box in boxes(count)] for count in (5, 0, 31, 1)]
    detected = [
        [(box, float(source.uniform(0.01, 1)), int(source.integers(3))) for box in boxes(count)]
        for count in (7, 3, 50, 0)
    ]
    together = label_evidence(_batch(*labels), _found(*detected))
    candidates = candidate_evidence(_batch(*labels), _found(*detected), SIZES)
    for image, (objects, found) in enumerate(zip(labels, detected, strict=True)):
        alone = label_evidence(_batch(objects), _found(found))
        rows = together.image == image
        for name in ("classes", "location", "spurious", "other", "located", "iou"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[rows])
        own = candidate_evidence(_batch(objects), _found(found), SIZES)
        assert torch.equal(own.features, candidates.features[candidates.image == image])
        assert torch.equal(own.column, candidates.column[candidates.image == image])


def test_an_object_that_is_detected_as_several_classes_is_one_candidate_that_names_them() -> None:
    """Two classes on one object, a third one beside it, and in another image the weaker class alone."""
    here, shifted, beside = (10, 10, 30, 30), (12, 10, 32, 30), (24, 10, 44, 30)
    found = _found([(here, 0.6, 1), (shifted, 0.5, 0), (beside, 0.4, 2), (here, 0.02, 2)], [(here, 0.5, 0)])
    batch = _batch([], [])
    candidates = candidate_evidence(batch, found, SIZES)
    assert list(zip(candidates.image.tolist(), candidates.column.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 0)]
    nowhere = torch.full_like(candidates.image, -1)
    missing = Suspicions("missing", candidates.image, nowhere, candidates.column, torch.ones(3))
    assert describe_evidence(missing, batch, found, ("cat", "dog", "cow")) == [
        "dog detected (score 0.60; or cat 0.50), and no label overlaps it by more than 0.00",
        "cow detected (score 0.40), and no label overlaps it by more than 0.00",
        "cat detected (score 0.50), and no label overlaps it by more than 0.00",
    ]
