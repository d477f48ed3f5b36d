"""What an artefact tells of its training."""

from __future__ import annotations

from typing import Any

import torch

from models.spec import DetectorSpec, SourceSpec
from training.data.datasets import DetectionDataset
from training.module import TrainingModule


def with_summary(module: TrainingModule, train: DetectionDataset, val: DetectionDataset | None) -> DetectorSpec:
    """Return the spec of the trained network with its source and a summary of the run."""
    progress, spec = module.progress, module.network.spec
    summary: dict[str, Any] = {
        "config": module.config.model_dump(mode="json"),
        "epochs": module.epoch,
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "train": _of_data(train),
        "val": None if val is None else _of_data(val),
        "torch": str(torch.__version__),
    }
    if progress.best is not None:
        step, ap, ap50 = progress.best
        summary["best"] = {"step": step, "AP": ap, "AP50": ap50}
    source = SourceSpec(kind="training", images_seen=module.images_seen)
    return spec.model_copy(update={"source": source, "training": summary})


def _of_data(dataset: DetectionDataset) -> dict[str, Any]:
    return {
        "name": dataset.source.name,
        "split": dataset.split,
        "pictures": len(dataset),
        "objects": sum(dataset.objects_per_class),
    }
