"""What an artefact tells of its training."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from models.spec import DetectorSpec, SourceSpec
from training.config import TrainingConfig
from training.data.datasets import DetectionDataset
from training.progress import Progress

if TYPE_CHECKING:
    from training.module import TrainingModule


def with_summary(module: TrainingModule, train: DetectionDataset, val: DetectionDataset | None) -> DetectorSpec:
    """Return the spec of the trained network with its source and a summary of the run and its data."""
    data = {"epochs": module.epoch, "train": _of_data(train), "val": None if val is None else _of_data(val)}
    return trained_spec(module.network.spec, module.config, module.progress, data)


def trained_spec(
    spec: DetectorSpec, config: TrainingConfig, progress: Progress, data: Mapping[str, object] = MappingProxyType({})
) -> DetectorSpec:
    """Return a spec with its source and a summary of the run so far; ``data`` is added to it."""
    summary: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "torch": str(torch.__version__),
        **data,
    }
    if progress.best is not None:
        step, ap, ap50 = progress.best
        summary["best"] = {"step": step, "AP": ap, "AP50": ap50}
    source = SourceSpec(kind="training", images_seen=progress.step * config.batch_size)
    return spec.model_copy(update={"source": source, "training": summary})


def _of_data(dataset: DetectionDataset) -> dict[str, Any]:
    return {
        "name": dataset.source.name,
        "split": dataset.split,
        "pictures": len(dataset),
        "objects": sum(dataset.objects_per_class),
    }
