"""Cross-validation folds: networks that are each trained without one part of a data set, to judge just that part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.files import write_text
from yoloscope.training.checkpoint.files import ARTIFACT, LAST
from yoloscope.training.config import StartConfig, TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.data.splits import Splits, rank_by_name
from yoloscope.training.logs import log_prefix
from yoloscope.training.train import train
from yoloscope.training.trainer import DEFAULT_DEVICE, DeviceConfig

CONDITIONS: Final = "folds.json"


@dataclass(frozen=True)
class Fold:
    """One part of a data set, and the artifact of a network that was trained on all other parts."""

    images: tuple[LabeledImage, ...]
    artifact: Path


def split_folds(dataset: DetectionDataset, count: int, seed: int = 0) -> list[tuple[LabeledImage, ...]]:
    """Return the images in ``count`` parts of (nearly) equal size, which follow from file names and the seed.

    Raises DatasetError where there are fewer images than parts.
    """
    if len(dataset) < count:
        raise DatasetError(f"expected at least {count} images for {count} folds, got {len(dataset)}")
    ranked = sorted(dataset.images, key=lambda image: (rank_by_name(image.path.name, seed), image.path))
    return [tuple(ranked[part::count]) for part in range(count)]


def train_folds(
    config: TrainingConfig,
    dataset: DetectionDataset,
    count: int,
    folder: Path,
    *,
    machine: DeviceConfig = DEFAULT_DEVICE,
    progress_bar: bool = False,
) -> list[Fold]:
    """Train a network without each part of a data set, in ``folder``; those that are there already are taken.

    Nothing is validated on: the part that is left out must not choose the weights that judge it. An interrupted
    training goes on where it was. Raises YoloscopeError, and ConfigError where a signal ended it or the folder holds
    folds of another number, configuration or data set.
    """
    config = config.replace(data=config.data.model_dump() | {"val": None})
    parts = split_folds(dataset, count, config.seed)
    _require_same_folds(config, parts, folder / CONDITIONS)
    folds = []
    for number, held_out in enumerate(parts):
        place = folder / f"fold-{number + 1}"
        artifact = place / ARTIFACT
        if not artifact.exists():
            others = _without(dataset, held_out)
            with log_prefix(f"fold {number + 1}/{count}: "):
                result = train(
                    config,
                    dataset.source,
                    place,
                    resume=(place / LAST).is_file(),
                    machine=machine,
                    progress_bar=progress_bar,
                    splits=Splits(others, None),
                )
            if result.signal is not None:
                raise ConfigError(f"stopped in fold {number + 1} of {count}; the same command goes on from there")
        folds.append(Fold(held_out, artifact))
    return folds


def learned_elsewhere(config: TrainingConfig) -> tuple[str, ...]:
    """Return the networks that folds begin with or learn from and that may have seen every image.

    Those are ``start`` and teachers that are named; teachers that a fold trains itself see what the fold does.
    """
    start = config.start.weights if isinstance(config.start, StartConfig) else config.start
    named = () if start is None else start if isinstance(start, tuple) else (start,)
    teachers = config.distill.teachers if config.distill is not None else 0
    return tuple(str(one) for one in (*named[-1:], *(() if isinstance(teachers, int) else teachers)))


def _require_same_folds(config: TrainingConfig, parts: Sequence[Sequence[LabeledImage]], path: Path) -> None:
    """Write what the folds depend on; raise ConfigError where the file has something else."""
    trained_on = [(image.path.name, repr(image.labels)) for part in parts for image in part]
    conditions = json.dumps(
        {
            "folds": len(parts),
            "config": sha256(config.to_yaml().encode()).hexdigest(),
            "images": sha256(repr(trained_on).encode()).hexdigest(),
        }
    )
    if not path.exists():
        write_text(path, conditions)
    elif path.read_text("utf-8", errors="replace") != conditions:
        raise ConfigError(
            f"{path.parent} holds folds of another number, configuration or data set; choose another --output"
        )


def _without(dataset: DetectionDataset, images: Sequence[LabeledImage]) -> DetectionDataset:
    left_out = {image.path for image in images}
    return replace(dataset, images=tuple(image for image in dataset.images if image.path not in left_out))
