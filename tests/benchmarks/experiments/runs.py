"""One run: trained to its end, measured on the splits that it did not see, and kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from tests.benchmarks.experiments.rows import Row
from yoloscope.training.checkpoint.files import BEST, LAST, TEACHERS, read_checkpoint
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.checkpoint.progress import RunProgress
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.data.splits import split_holdout
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.evaluation.evaluate import evaluate
from yoloscope.training.evaluation.predict import PredictionSettings
from yoloscope.training.teachers import num_teachers_to_train, teacher_paths
from yoloscope.training.train import train_network

RESULT = "result.json"


@dataclass(frozen=True)
class Bench:
    """The data set, its part that nothing is chosen on, and the folder that keeps the runs of a table."""

    data: Path
    test: str
    folder: Path


@dataclass(frozen=True)
class Result:
    """What a run gave: seconds of training, and for val and test COCO's numbers and AP50 by class."""

    parameters: int
    steps: int
    seconds: float
    val: Mapping[str, float]
    test: Mapping[str, float]


def result_of(row: Row, seed: int, bench: Bench, tell: Callable[[str], None]) -> Result:
    """Return the result of a row, from its folder where it is known and of this configuration; train it otherwise.

    A run that was interrupted goes on where it stopped.
    """
    config = row.config.replace(seed=seed)
    place = bench.folder / f"{_slug(row.name)}-{seed}"
    trained = place if row.trained_as is None else bench.folder / f"{_slug(row.trained_as)}-{seed}"
    known = place / RESULT
    if known.is_file():
        kept = json.loads(known.read_text("utf-8"))
        if kept["config"] == config.model_dump(mode="json"):
            return Result(**kept["result"])
    _lend_teachers(row, config, bench, trained, tell)
    _train(config, bench.data, trained, tell)
    result = _measure(row, config, bench, trained)
    place.mkdir(parents=True, exist_ok=True)
    known.write_text(
        json.dumps({"config": config.model_dump(mode="json"), "result": asdict(result)}, indent=1), encoding="utf-8"
    )
    return result


def _lend_teachers(row: Row, config: TrainingConfig, bench: Bench, folder: Path, tell: Callable[[str], None]) -> None:
    """Give a run that trains teachers first those runs of ``taught_by`` that they would be."""
    if row.taught_by is None or not num_teachers_to_train(config):
        return
    for place, seed in zip(teacher_paths(config, folder), count(config.seed)):
        result_of(row.taught_by, seed, bench, tell)
        if not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to((bench.folder / f"{_slug(row.taught_by.name)}-{seed}").resolve())


def _train(config: TrainingConfig, data: Path, folder: Path, tell: Callable[[str], None]) -> None:
    started = time.monotonic()
    run = train_network(config, data, folder, resume=(folder / LAST).is_file() or (folder / TEACHERS).is_dir())
    if run.signal is not None:
        raise KeyboardInterrupt
    tell(f"{folder.name}: {time.monotonic() - started:.0f} s")


def _measure(row: Row, config: TrainingConfig, bench: Bench, folder: Path) -> Result:
    network = load_checkpoint_network(folder / BEST)
    spec = network.spec
    if row.nms is not None:
        spec = spec.model_copy(update={"nms": spec.nms.model_copy(update=row.nms)})
    progress = RunProgress.from_dict(read_checkpoint(folder / LAST)["progress"])
    detector = TorchDetector(network, spec)
    settings = PredictionSettings(iou_threshold=spec.nms.iou_threshold, batch_size=8)

    def numbers(dataset: DetectionDataset) -> dict[str, float]:
        coco = evaluate(detector, dataset, settings).coco
        by_class = zip(spec.class_names, coco.ap50, strict=True)
        return dict(coco.numbers) | {f"AP50 {name}": float(ap50) for name, ap50 in by_class}

    return Result(
        sum(parameter.numel() for parameter in network.parameters()),
        progress.step,
        progress.seconds,
        numbers(_validated_on(config, bench.data)),
        numbers(open_dataset(bench.data, bench.test)),
    )


def _validated_on(config: TrainingConfig, data: Path) -> DetectionDataset:
    if isinstance(config.data.val, float):
        return split_holdout(open_dataset(data, config.data.train), config.data.val, config.seed)[1]
    return open_dataset(data, config.data.val)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
