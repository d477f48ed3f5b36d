"""What ``yoloscope export`` starts from, and what it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.commands.runtime import reach_model
from app.services.runtime import Runtime
from app.settings import Settings
from models.preprocess import place_exactly
from models.spec import DetectorSpec
from training.checkpoint_network import load_checkpoint_network
from training.data.datasets import DetectionDataset
from training.data.datasets.pictures import read_picture
from training.evaluation.evaluation import evaluate
from training.export.comparison import Agreement, Timing, compare, time_both
from training.export.int8 import Progress
from training.export.onnx import export_onnx
from training.export.parity import synthetic_pictures
from training.run_folder import named_checkpoint

COMPARED: Final = 16


@dataclass(frozen=True)
class Measuring:
    """With what to measure: a labelled data set, or the paths of any pictures, or neither."""

    settings: Settings
    dataset: DetectionDataset | None
    paths: Sequence[Path] | None
    progress: Progress


@dataclass(frozen=True)
class Measured:
    """What distinguishes the new file from the original: bytes, and in ``ap`` COCO's numbers by name, of each file."""

    original: Runtime
    changed: Runtime
    sizes: tuple[int, int]
    agreement: Agreement
    timing: Timing
    ap: tuple[dict[str, float], dict[str, float]] | None


def open_source(settings: Settings, scratch: Path) -> Path:
    """Return the float32 artefact to start from; that of a checkpoint is written to ``scratch``."""
    checkpoint = named_checkpoint(settings.model)
    if checkpoint is None:
        return reach_model(settings)
    network = load_checkpoint_network(checkpoint)
    path = scratch / "float32.onnx"
    export_onnx(network, network.spec, path)
    return path


def measure(source: Path, output: Path, what: Measuring) -> Measured:
    """Compare two artefacts on the pictures of a data set, on others, or on synthetic ones."""
    original, changed = (Runtime(path, what.settings.provider, what.settings.threads) for path in (source, output))
    sizes = source.stat().st_size, output.stat().st_size
    pictures = _pictures(what, original.spec)
    agreement, timing = compare(original, changed, pictures), time_both(original, changed, pictures)
    if what.dataset is None:
        return Measured(original, changed, sizes, agreement, timing, None)
    before = _numbers(original, what.dataset, "evaluating the original", what.progress)
    after = _numbers(changed, what.dataset, "evaluating the new file", what.progress)
    return Measured(original, changed, sizes, agreement, timing, (before, after))


def _numbers(runtime: Runtime, dataset: DetectionDataset, title: str, progress: Progress) -> dict[str, float]:
    """Return COCO's numbers by name."""
    done = count(1)
    evaluation = evaluate(runtime, dataset, progress=lambda _: progress(title, next(done) / len(dataset)))
    return evaluation.coco.numbers


def _pictures(what: Measuring, spec: DetectorSpec) -> list[NDArray[Any]]:
    """Return up to 16 placed pictures."""
    paths = [image.path for image in what.dataset.images] if what.dataset is not None else what.paths
    if not paths:
        return list(synthetic_pictures(spec.input_width, spec.input_height))
    places = np.linspace(0, len(paths) - 1, min(COMPARED, len(paths))).round().astype(int)
    return [place_exactly(read_picture(paths[place]), spec)[0] for place in places]
