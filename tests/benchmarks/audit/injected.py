"""Injected label errors: drop, swap, shift and spurious boxes, five percent each, found by audits and by other tools.

An audit is calibrated on the corrupted labels themselves, as for a user; the seeds that it injects errors with are
others than those of the benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.audit.data import BenchImage, audit_batch, calibrate_images, label_boxes
from tests.benchmarks.audit.metrics import (
    Ranked,
    auroc,
    average_precision,
    interval,
    pooled,
    precision_at,
    recall_at,
)
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
from yoloscope.training.diagnostics.calibration import expected_calibration_error
from yoloscope.training.diagnostics.findings import KINDS, FindingKind
from yoloscope.training.diagnostics.injection import CorruptedLabels, inject_errors

RATE = 0.05
IMAGE_SHARE = 0.25
BUDGET = 0.1
NOTHING = np.zeros(0, np.int64)

Lists = Mapping[FindingKind, Ranked]


@dataclass(frozen=True)
class Scene:
    """Images under corrupted labels: what each method suspects, by kind, and of images."""

    lists: Mapping[str, Lists]
    images: Mapping[str, Ranked]
    calibration_error: Mapping[FindingKind, float]
    num_labels: int


def inject(labels: Sequence[ImageLabels], names: Sequence[str], seed: int, share: float) -> list[CorruptedLabels]:
    """Return the labels of all images with errors in a share of them; those of a larger share contain them."""
    return inject_errors(labels, names, seed, rate=RATE, image_share=share)


def run_scene(images: list[BenchImage], spec: DetectorSpec, seed: int, share: float) -> Scene:
    """Corrupt the labels with one seed, and let each method look for the errors."""
    corrupted = inject([image.labels for image in images], spec.class_names, seed, share)
    noisy = [BenchImage(image.name, one.labels, image.found) for image, one in zip(images, corrupted, strict=True)]
    calibration = calibrate_images(noisy, spec.class_names)
    calibration = calibration.with_prevalence(dict.fromkeys(KINDS, RATE * share))
    batch = audit_batch(noisy, [one.labels for one in corrupted], spec, calibration)
    labels = [label_boxes(one.labels) for one in corrupted]
    truth = _Truth(corrupted, labels)
    ours: dict[FindingKind, Ranked] = {}
    for suspicions in batch.suspicions():
        if suspicions.kind == "missing":
            boxes = batch.found.boxes_xyxy_frac[suspicions.image, suspicions.column].double()
            sizes = torch.stack([image.size() for image in images])[suspicions.image]
            ours["missing"] = truth.missing(
                suspicions.probability.numpy(), suspicions.image.numpy(), (boxes * sizes).numpy()
            )
        else:
            scores = np.zeros(len(truth.image))
            rows = batch.row_of_slot[suspicions.image, suspicions.slot].numpy()
            scores[rows] = suspicions.probability.numpy()
            ours[suspicions.kind] = truth.labels(suspicions.kind, scores)
    errors = {
        kind: expected_calibration_error(torch.from_numpy(ranked.scores), torch.from_numpy(ranked.hits))
        for kind, ranked in ours.items()
    }
    lists, qualities = _peers([image.detections() for image in images], labels, truth)
    image_scores = {"yoloscope": _image_score(ours, len(images)), "ObjectLab": 1 - qualities}
    faulty = np.array([bool(one.dropped) or any(one.kinds) for one in corrupted])
    return Scene(
        {"yoloscope": ours, **lists},
        {name: Ranked(scores, faulty, np.arange(len(images)), NOTHING) for name, scores in image_scores.items()},
        errors,
        len(truth.image),
    )


@dataclass(frozen=True)
class _Truth:
    """Which label is which error, and where labels were dropped."""

    corrupted: Sequence[CorruptedLabels]
    boxes: Sequence[tuple[Boxes, list[int]]]

    @property
    def image(self) -> NDArray[np.int64]:
        """Image [n] of each judged label."""
        return np.repeat(np.arange(len(self.boxes)), [len(rows) for _, rows in self.boxes])

    def labels(self, kind: FindingKind, scores: NDArray[np.float64]) -> Ranked:
        """Return how well scores [n] of labels find the errors of a kind."""
        kinds = [one.kinds[row] for one, (_, rows) in zip(self.corrupted, self.boxes, strict=True) for row in rows]
        return Ranked(scores, np.array([found == kind for found in kinds]), self.image, NOTHING)

    def missing(self, scores: NDArray[np.float64], image: NDArray[np.int64], boxes: NDArray[np.float64]) -> Ranked:
        """Return how well candidates find the dropped objects, each once, at IoU .5; best score first."""
        dropped = [np.array([label.box_xyxy_px for label in one.dropped]).reshape(-1, 4) for one in self.corrupted]
        free = [np.ones(len(objects), bool) for objects in dropped]
        hits = np.zeros(len(scores), bool)
        for row in np.argsort(-scores, kind="stable"):
            objects = dropped[image[row]]
            if not len(objects):
                continue
            overlap = np.where(free[image[row]], iou(boxes[row][None], objects)[0], 0.0)
            if overlap.max() >= 0.5:
                free[image[row]][int(overlap.argmax())] = False
                hits[row] = True
        missed = np.concatenate([np.full(int(left.sum()), index, np.int64) for index, left in enumerate(free)])
        return Ranked(scores, hits, image, missed)


def _peers(
    detections: Sequence[Boxes], labels: Sequence[tuple[Boxes, list[int]]], truth: _Truth
) -> tuple[dict[str, Lists], NDArray[np.float64]]:
    """Return the lists of the other methods, and ObjectLab's quality of each image."""
    pairs = [(own, found) for (own, _), found in zip(labels, detections, strict=True)]
    least = least_similarity(pairs)
    high = float(np.quantile(np.concatenate([found.scores for found in detections]), 0.75))
    rated = [mistakenness(own, found, gate=0.0) for own, found in pairs]
    gated = [mistakenness(own, found) for own, found in pairs]
    lab = [object_lab(own, found, least) for own, found in pairs]
    matched = [object_lab(own, found, least, high=high, low=high) for own, found in pairs]
    random = np.random.default_rng(0)

    def candidates(values: Sequence[NDArray[np.float64]]) -> Ranked:
        rows = [np.flatnonzero(one >= 0) for one in values]
        image = np.repeat(np.arange(len(values)), [len(one) for one in rows])
        boxes = [found.xyxy[one] for found, one in zip(detections, rows, strict=True)]
        scores = np.concatenate([one[row] for one, row in zip(values, rows, strict=True)])
        return truth.missing(scores, image, np.concatenate(boxes))

    def of_labels(kind: FindingKind, values: Sequence[NDArray[np.float64]]) -> Ranked:
        return truth.labels(kind, np.concatenate(values))

    confidence = [unmatched_confidence(own, found) for own, found in pairs]
    shuffled = [np.where(one >= 0, random.random(len(one)), -1) for one in confidence]
    lists: dict[str, Lists] = {
        "random": {
            "missing": candidates(shuffled),
            **{kind: of_labels(kind, [random.random(len(own.classes)) for own, _ in pairs]) for kind in KINDS[1:]},
        },
        "confidence": {"missing": candidates(confidence)},
        "FiftyOne": {
            "missing": candidates([one.missing for one in gated]),
            "class": of_labels("class", [one.classes for one in rated]),
            "location": of_labels("location", [one.location for one in rated]),
            "spurious": of_labels("spurious", [one.spurious for one in rated]),
        },
        "FiftyOne no gate": {
            "missing": candidates([one.missing for one in rated]),
            "class": of_labels("class", [one.classes for one in rated]),
            "location": of_labels("location", [one.location for one in rated]),
            "spurious": of_labels("spurious", [one.spurious for one in rated]),
        },
    }
    for name, results in (("ObjectLab", lab), ("ObjectLab matched", matched)):
        lists[name] = {
            "missing": candidates([one.overlooked for one in results]),
            "class": of_labels("class", [one.swapped for one in results]),
            "location": of_labels("location", [one.badly_located for one in results]),
        }
    return lists, np.array([one.image_quality for one in lab])


def _image_score(lists: Lists, num_images: int) -> NDArray[np.float64]:
    """Return the expected number of errors of each image."""
    expected = np.zeros(num_images)
    for ranked in lists.values():
        np.add.at(expected, ranked.image, ranked.scores)
    return expected


def print_tables(detected: Sequence[list[BenchImage]], spec: DetectorSpec) -> None:
    """Print all tables of one data set, as means over seeds; ``detected`` has its images for each seed from 0 on."""
    num_images = len(detected[0])
    scenes = [run_scene(images, spec, seed, 1.0) for seed, images in enumerate(detected)]
    for kind in KINDS:
        _print_kind(kind, scenes, num_images)
    _print_pooled(scenes)
    errors = {kind: np.mean([scene.calibration_error[kind] for scene in scenes]) for kind in KINDS}
    print("calibration error:", ", ".join(f"{kind} {value:.3f}" for kind, value in errors.items()))
    quarter = [run_scene(images, spec, seed, IMAGE_SHARE) for seed, images in enumerate(detected)]
    _print_images(quarter, num_images)
    print()


def _print_kind(kind: FindingKind, scenes: Sequence[Scene], num_images: int) -> None:
    errors = sum(scene.lists["yoloscope"][kind].num_errors for scene in scenes)
    print(f"{kind}: {errors} errors in {len(scenes)} seeds")
    names = [name for name, lists in scenes[0].lists.items() if kind in lists]
    values = {name: np.mean([average_precision(scene.lists[name][kind]) for scene in scenes]) for name in names}
    best = max((name for name in names if name != "yoloscope"), key=lambda name: values[name])
    for name in names:
        area = np.mean([auroc(scene.lists[name][kind]) for scene in scenes])
        print(f"  {name:18} AP {values[name]:.3f}  AUROC {area:.3f}{_margin(kind, best, scenes, num_images, name)}")


def _margin(kind: FindingKind, best: str, scenes: Sequence[Scene], num_images: int, name: str) -> str:
    """Return the lead over the best other method, with its paired interval."""
    if name != "yoloscope":
        return ""

    def lead(drawn: Sequence[Ranked]) -> float:
        half = len(drawn) // 2
        pairs = zip(drawn[:half], drawn[half:], strict=True)
        return float(np.mean([average_precision(own) - average_precision(other) for own, other in pairs]))

    both = [scene.lists[which][kind] for which in ("yoloscope", best) for scene in scenes]
    low, high = interval(lead, both, num_images)
    return f"  AP {lead(both):+.3f} ({low:+.3f} to {high:+.3f}) over {best}"


def _print_pooled(scenes: Sequence[Scene]) -> None:
    print("all kinds in one list")
    for name in scenes[0].lists:
        lists = [pooled(list(scene.lists[name].values())) for scene in scenes]
        total = [sum(own.num_errors for own in scene.lists["yoloscope"].values()) for scene in scenes]
        precision = [precision_at(one, count) for one, count in zip(lists, total, strict=True)]
        budget = [
            recall_at(one, round(BUDGET * scene.num_labels)) * one.num_errors / count
            for one, scene, count in zip(lists, scenes, total, strict=True)
        ]
        print(f"  {name:18} P@k {np.mean(precision):.3f}  recall at a 10 % budget {np.mean(budget):.3f}")


def _print_images(scenes: Sequence[Scene], num_images: int) -> None:
    print(f"images with errors, {IMAGE_SHARE:.0%} of them corrupted")
    for name in scenes[0].images:
        ranked = [scene.images[name] for scene in scenes]
        value = _mean_ap(ranked)
        low, high = interval(
            lambda drawn: float(np.mean([average_precision(one) for one in drawn])), ranked, num_images
        )
        first = np.mean([precision_at(one, 50) for one in ranked])
        print(f"  {name:18} AP {value:.3f} ({low:.3f} to {high:.3f})  P@50 {first:.3f}")


def _mean_ap(ranked: Sequence[Ranked]) -> float:
    return float(np.mean([average_precision(one) for one in ranked]))
