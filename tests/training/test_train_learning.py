"""A run learns, logs, and ends in an artifact that stands alone."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.training.runs import Configure, quick_config
from yoloscope.app.services.runtime import Runtime
from yoloscope.training.callbacks import ProgressBar
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.export.artifact import read_spec
from yoloscope.training.logs import log_to_stderr
from yoloscope.training.train import TrainResult, train


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A whole run with validation and export."""
    folder = tmp_path_factory.mktemp("run")
    config = quick_config(
        epochs=40,
        optimizer={"lr": 0.01},
        data={"val": "val"},
        ema={"decay": 0.9},
        validation={"every_epochs": 20},
    )
    return folder, train(config, shapes, folder)


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "logs" / "csv" / "from_step_0" / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_the_loss_falls_on_few_images(run: tuple[Path, TrainResult]) -> None:
    losses = [row["loss"] for row in rows(run[0]) if "loss" in row]
    assert len(losses) == 40
    assert losses[-1] < losses[0] / 4


def test_every_term_is_logged_by_scale_and_adds_up(run: tuple[Path, TrainResult]) -> None:
    terms = ("box", "objectness", "no_objectness", "classification")
    for row in [row for row in rows(run[0]) if "loss" in row][::10]:
        assert row["loss"] == pytest.approx(sum(row[f"loss/{term}"] for term in terms), rel=1e-5)
        assert row["loss"] == pytest.approx(row["loss/stride_32"] + row["loss/stride_16"], rel=1e-5)
        for stride in (16, 32):
            parts = sum(row[f"loss/stride_{stride}/{term}"] for term in terms)
            assert row[f"loss/stride_{stride}"] == pytest.approx(parts, rel=1e-5)
    assert [row["step"] for row in rows(run[0]) if "val/AP" in row] == [20, 40]
    assert list((run[0] / "logs" / "tensorboard" / "from_step_0").glob("events.*"))


def test_the_artifact_is_the_best_average_and_tells_of_its_training(
    run: tuple[Path, TrainResult], shapes: Path
) -> None:
    folder, result = run
    assert result.artifact == folder / "model.onnx"
    assert result.parity is not None
    assert result.best is not None
    spec = read_spec(folder / "model.onnx")
    assert spec.class_names == ("square", "disc")
    assert spec.source is not None
    assert (spec.source.kind, spec.source.images_seen) == ("training", 240)
    assert spec.training is not None
    assert TrainingConfig.parse(spec.training["config"]) == TrainingConfig.load(folder / "config.yaml")
    assert spec.training["best"] == {"step": result.best[0], "AP": result.best[1], "AP50": result.best[2]}
    assert spec.training["train"]["images"] == 6
    best = read_checkpoint(folder / "best.ckpt")
    assert best["progress"]["step"] == result.best[0]
    runtime = Runtime(folder / "model.onnx", "cpu", 1)
    image = open_dataset(shapes, "train").images[0]
    (found,) = runtime.detect(image.read()[None], [0.3], [0.45])
    box = found.boxes_xyxy[0]
    own = image.labels.boxes_xyxy_px[0]
    overlap = np.prod(np.minimum(box[2:], own[2:]) - np.maximum(box[:2], own[:2]))
    assert found.class_ids[0] == 0
    assert overlap / np.prod(own[2:] - own[:2]) > 0.5


@pytest.mark.usefixtures("no_export")
def test_the_bar_counts_steps_and_tells_epochs_above(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr("yoloscope.training.train.ProgressBar", lambda: ProgressBar(shown))
    with log_to_stderr():
        train(configure(epochs=3), shapes, tmp_path, progress_bar=True)
    assert isinstance(shown.file, io.StringIO)
    text = shown.file.getvalue()
    assert "3/3" in text
    assert re.search(r"loss [\d.]+ box [\d.]+ object [\d.]+ no_obj [\d.]+ classi [\d.]+", text)
    assert all(f"epoch {epoch}/3  loss " in text for epoch in (1, 2, 3))


def test_without_validation_the_last_average_is_exported(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: dict[str, Tensor] = {}
    monkeypatch.setattr(
        "yoloscope.training.train.export_onnx", lambda network, *_: exported.update(network.state_dict())
    )
    assert train(configure(), shapes, tmp_path).best is None
    assert not (tmp_path / "best.ckpt").exists()
    average = read_checkpoint(tmp_path / "last.ckpt")["average"]["average"]
    assert exported.keys() == average.keys()
    assert all(torch.equal(exported[key], average[key]) for key in average)
