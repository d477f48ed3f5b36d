"""Injected label errors judged by models that learned from them: networks trained on the noisy labels of other folds.

``python -m tests.benchmarks.audit folds --output FOLDER`` keeps its runs in the folder and goes on from there. For each
seed all images of BCCD get errors in their labels, and are split in folds as by ``yoloscope audit --folds``; a network
is trained on the noisy labels of the other folds, and every method judges its detections. Images of which a quarter is
corrupted have the same errors there, and the same networks, which learned from four times as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.benchmarks.audit.data import BenchImage, detect_image, with_objects
from tests.benchmarks.audit.injected import inject, print_tables
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.evaluation.evaluate import evaluate
from yoloscope.training.folds import train_folds


@dataclass(frozen=True)
class JudgedFolds:
    """All images with their true labels and what networks found that had not seen them; AP50 of each network there."""

    images: list[BenchImage]
    spec: DetectorSpec
    ap50: tuple[float, ...]


def noisy(dataset: DetectionDataset, seed: int) -> DetectionDataset:
    """Return the images with the errors of a seed in their labels."""
    corrupted = inject([image.labels for image in dataset.images], dataset.class_names, seed, share=1.0)
    pairs = zip(dataset.images, corrupted, strict=True)
    return replace(dataset, images=tuple(with_objects(image, one.labels.objects) for image, one in pairs))


def judge_folds(
    dataset: DetectionDataset,
    seed: int,
    config: TrainingConfig,
    count: int,
    folder: Path,
    *,
    progress_bar: bool = False,
) -> JudgedFolds:
    """Train on the noisy labels of a seed in ``folder``, as far as that is not done, and detect out of fold."""
    true = {image.path: image for image in dataset.images}
    found: dict[Path, BenchImage] = {}
    ap50 = []
    for fold in train_folds(config, noisy(dataset, seed), count, folder, progress_bar=progress_bar):
        runtime = Runtime(fold.artifact, "cpu", 1)
        held_out = tuple(true[image.path] for image in fold.images)
        ap50.append(evaluate(runtime, replace(dataset, images=held_out)).coco.numbers["AP50"])
        found |= {image.path: detect_image(runtime, image) for image in held_out}
    return JudgedFolds([found[image.path] for image in dataset.images], runtime.spec, tuple(ap50))


def print_folds(judged: Sequence[JudgedFolds]) -> None:
    """Print how well the networks of each seed detect, and all tables of injected errors."""
    each = "  ".join(f"{np.mean(one.ap50):.3f}" for one in judged)
    print(f"AP50 on true labels out of fold, one value a seed: {each}")
    print_tables([one.images for one in judged], judged[0].spec)
