"""Real label errors: what audits find in BCCD, against its second annotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.audit.data import BenchImage, audit_batch, label_boxes, read_reviewed
from tests.benchmarks.audit.metrics import Ranked, auroc, average_precision, interval, precision_at, recall
from tests.benchmarks.audit.peers import (
    Boxes,
    iou,
    least_similarity,
    mistakenness,
    object_lab,
    unmatched_confidence,
)
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import ImageLabels
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import FindingKind
from yoloscope.training.diagnostics.predictions import predict
from yoloscope.training.diagnostics.unexplained import find_unexplained

Candidates = list[tuple[float, int, NDArray[np.float64]]]
"""Score, image and box in pixels of what may be a missing label."""


@dataclass(frozen=True)
class ReviewedImage:
    """An image with its labels, the second annotation, and the objects of that which no label matches [k, 4]."""

    image: BenchImage
    labels: Boxes
    rows: list[int]
    reviewed: Boxes
    missing: NDArray[np.float64]


def reviewed_images(images: Sequence[BenchImage], folder: Path, names: tuple[str, ...]) -> list[ReviewedImage]:
    """Return the images that were annotated a second time; objects and labels are matched one to one at IoU .5."""
    found = []
    for image in images:
        reviewed = read_reviewed(folder, image, names)
        if reviewed is None:
            continue
        labels, rows = label_boxes(image.labels)
        matched = match_most(iou(reviewed.xyxy, labels.xyxy) >= 0.5)
        missing = reviewed.xyxy[[row for row in range(len(reviewed.xyxy)) if row not in matched]]
        found.append(ReviewedImage(image, labels, rows, reviewed, missing))
    return found


def match_most(possible: NDArray[np.bool_]) -> set[int]:
    """Return the rows [n] of a largest one-to-one matching with columns, by augmenting paths."""
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column in np.flatnonzero(possible[row]).tolist():
            if column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    for row in range(len(possible)):
        place(row, set())
    return set(row_of.values())


def rank_candidates(candidates: Candidates, missing: Sequence[NDArray[np.float64]]) -> Ranked:
    """Return what is hit: a missing object at IoU .5, each once, by the best score first."""
    ordered = sorted(candidates, key=lambda entry: -entry[0])
    free = [np.ones(len(boxes), bool) for boxes in missing]
    hits = np.zeros(len(ordered), bool)
    for position, (_, image, box) in enumerate(ordered):
        overlap = np.where(free[image], iou(box[None], missing[image])[0], 0.0)
        if len(overlap) and overlap.max() >= 0.5:
            free[image][int(overlap.argmax())] = False
            hits[position] = True
    return Ranked(
        np.array([score for score, _, _ in ordered]),
        hits,
        np.array([image for _, image, _ in ordered], np.int64),
        np.concatenate([np.full(int(left.sum()), image, np.int64) for image, left in enumerate(free)]),
    )


def ours_missing(images: Sequence[BenchImage], spec: DetectorSpec, calibration: AuditCalibration) -> Candidates:
    """Return our candidates under the labels as published."""
    batch = audit_batch(list(images), [image.labels for image in images], spec, calibration)
    missing = next(one for one in batch.suspicions() if one.kind == "missing")
    boxes = batch.found.boxes_xyxy_frac[missing.image, missing.column].double()
    sizes = torch.stack([image.size() for image in images])[missing.image]
    return list(zip(missing.probability.tolist(), missing.image.tolist(), (boxes * sizes).numpy(), strict=True))


def unexplained(images: Sequence[BenchImage], spec: DetectorSpec) -> Candidates:
    """Return what ``yoloscope score`` lists as unexplained."""
    found: Candidates = []
    for index, image in enumerate(images):
        predictions = predict(image.found.heads, spec)
        size = image.size()
        labels = torch.from_numpy(label_boxes(image.labels)[0].xyxy) / size
        for one in find_unexplained(predictions, labels.float(), torch.zeros(0, 4), spec.nms):
            box = (predictions.boxes_xyxy_norm[one.row].double() * size).numpy()
            found.append((one.score, index, box))
    return found


def peers_missing(images: Sequence[BenchImage]) -> dict[str, Candidates]:
    """Return the candidates of other methods, by name."""
    pairs = [(label_boxes(image.labels)[0], image.detections()) for image in images]
    least = least_similarity(pairs)
    random = np.random.default_rng(0)

    def collect(score: Callable[[Boxes, Boxes], NDArray[np.float64]]) -> Candidates:
        found: Candidates = []
        for index, (labels, detections) in enumerate(pairs):
            values = score(labels, detections)
            found += [(values[row], index, detections.xyxy[row]) for row in np.flatnonzero(values >= 0)]
        return found

    def shuffled(labels: Boxes, found: Boxes) -> NDArray[np.float64]:
        return np.where(unmatched_confidence(labels, found) >= 0, random.random(len(found.scores)), -1)

    return {
        "random order": collect(shuffled),
        "confidence, no gate": collect(unmatched_confidence),
        "FiftyOne (gate .95)": collect(lambda a, b: mistakenness(a, b).missing),
        "FiftyOne, no gate": collect(lambda a, b: mistakenness(a, b, gate=0).missing),
        "ObjectLab (.95)": collect(lambda a, b: object_lab(a, b, least).overlooked),
        "ObjectLab, .25": collect(lambda a, b: object_lab(a, b, least, high=0.25).overlooked),
    }


def label_errors(images: Sequence[ReviewedImage]) -> Mapping[FindingKind, NDArray[np.bool_]]:
    """Return which labels the second annotation calls wrong: on no object, of another class, or badly placed."""
    spurious, classes, moved = [], [], []
    for one in images:
        overlap = iou(one.labels.xyxy, one.reviewed.xyxy)
        same = one.labels.classes[:, None] == one.reviewed.classes[None]
        best = overlap.max(1, initial=0.0)
        best_same = np.where(same, overlap, 0.0).max(1, initial=0.0)
        spurious.append(best < 0.1)
        classes.append((best >= 0.5) & (best_same < 0.5))
        moved.append((best_same >= 0.1) & (best < 0.5))
    return {
        "spurious": np.concatenate(spurious),
        "class": np.concatenate(classes),
        "location": np.concatenate(moved),
    }


def label_scores(
    images: Sequence[BenchImage], labels: Sequence[ImageLabels], spec: DetectorSpec, calibration: AuditCalibration
) -> Mapping[FindingKind, NDArray[np.float64]]:
    """Return our probability of every judged label, by kind; -1 where there is no detection to go by."""
    batch = audit_batch(list(images), list(labels), spec, calibration)
    scores: dict[FindingKind, NDArray[np.float64]] = {}
    for one in batch.suspicions():
        if one.kind != "missing":
            values = np.full(int(batch.batch.judged.sum()), -1.0)
            values[batch.row_of_slot[one.image, one.slot].numpy()] = one.probability.numpy()
            scores[one.kind] = values
    return scores


def print_missing(lists: Mapping[str, Candidates], images: Sequence[ReviewedImage]) -> None:
    """Print the table of missing labels."""
    missing = [one.missing for one in images]
    print(f"missing labels: {sum(map(len, missing))} objects without label in {len(images)} images")
    print(f"{'method':24} {'listed':>6} {'AP':>6} {'95 % interval':>15} {'recall':>6} {'P@50':>6} {'P@100':>6}")
    for name, candidates in lists.items():
        ranked = rank_candidates(candidates, missing)
        low, high = interval(lambda drawn: average_precision(drawn[0]), [ranked], len(images))
        measures = f"{recall(ranked):6.3f} {precision_at(ranked, 50):6.3f} {precision_at(ranked, 100):6.3f}"
        print(f"{name:24} {len(candidates):6} {average_precision(ranked):6.3f} {low:7.3f} to {high:.3f} {measures}")


def print_labels(images: Sequence[ReviewedImage], spec: DetectorSpec, calibration: AuditCalibration) -> None:
    """Print the table of labels that the second annotation calls wrong."""
    truth = label_errors(images)
    ours = label_scores([one.image for one in images], [one.image.labels for one in images], spec, calibration)
    rated = [mistakenness(one.labels, one.image.detections()) for one in images]
    peers = {
        "class": np.concatenate([one.classes for one in rated]),
        "location": np.concatenate([one.location for one in rated]),
        "spurious": np.concatenate([one.spurious for one in rated]),
    }
    image = np.repeat(np.arange(len(images)), [len(one.labels.xyxy) for one in images])
    print("labels that the second annotation calls wrong")
    print(f"{'kind':10} {'errors':>6} {'method':10} {'AP':>6} {'95 % interval':>15} {'AUROC':>6}")
    for kind, wrong in truth.items():
        for name, scores in (("yoloscope", ours[kind]), ("FiftyOne", peers[kind])):
            ranked = Ranked(scores, wrong, image, np.zeros(0, np.int64))
            low, high = interval(lambda drawn: average_precision(drawn[0]), [ranked], len(images))
            value = f"{average_precision(ranked):6.3f} {low:7.3f} to {high:.3f} {auroc(ranked):6.3f}"
            print(f"{kind:10} {int(wrong.sum()):6} {name:10} {value}")
