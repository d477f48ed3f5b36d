"""``yoloscope train`` as a user calls it."""

from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

import yoloscope.training.train
from tests.training.runs import quick_config, signalled_at, write_shapes
from yoloscope.app.cli import COMMANDS
from yoloscope.app.commands.train import train
from yoloscope.models.errors import CheckpointError, ConfigError, DatasetError
from yoloscope.training.config import TrainingConfig


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_shapes(tmp_path / "data")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "quick.yaml"
    path.write_text(quick_config(epochs=2).to_yaml())
    return str(path)


@pytest.fixture(autouse=True)
def _no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)


def test_it_is_listed() -> None:
    assert COMMANDS["train"].load() is train


def test_a_run_writes_its_folder_and_tells(
    data: Path, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, config=config, epochs=1, output=tmp_path / "run")
    told = capsys.readouterr().err
    assert "epoch 1/1  loss " in told
    assert f"wrote {tmp_path / 'run' / 'model.onnx'}" in told
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", "last.ckpt", "logs"}


def test_show_batch_writes_the_images_and_trains_nothing(data: Path, config: str, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "sheet.png"
    train(data, config=config, output=tmp_path / "run", show_batch=sheet)
    assert not (tmp_path / "run").exists()
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (2 * 324 + 4, 3 * 324 + 4, 3)
    assert (pixels[:, :, 0] > 200).sum() > 1000


def test_show_batch_wants_an_image_file(data: Path, config: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a file ending in \.png.*sheet\.txt"):
        train(data, config=config, show_batch=Path("sheet.txt"))


def test_wrong_options(data: Path, config: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data: expected a data set"):
        train()
    with pytest.raises(ConfigError, match="--accelerator: expected auto, cpu or gpu, got 'tpu'"):
        train(data, config=config, accelerator="tpu", output=tmp_path / "run")
    with pytest.raises(ConfigError, match="expected a network among"):
        train(data, network="yolov9", output=tmp_path / "run")
    with pytest.raises(ConfigError, match="--resume: expected a run in"):
        train(data, resume=True, output=tmp_path / "run")


def test_resume_takes_the_configuration_of_the_run(data: Path, config: str, tmp_path: Path) -> None:
    train(data, config=config, output=tmp_path / "run")
    with pytest.raises(ConfigError, match="leave --config"):
        train(data, config=config, resume=True, output=tmp_path / "run")
    train(data, resume=True, output=tmp_path / "run")
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        train(data, resume=True, output=tmp_path / "run")


def test_a_signal_ends_with_the_status_of_shells(
    data: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = yoloscope.training.train.TrainResult(
        step=7, best=None, checkpoint=Path("a/b.ckpt"), signal=15, artifact=None, parity=None
    )
    monkeypatch.setattr("yoloscope.app.commands.train.train_detector", lambda *_, **__: stopped)
    with pytest.raises(typer.Exit) as exit_:
        train(data, config=config, output=tmp_path / "run")
    assert exit_.value.exit_code == 143
    assert "stopped after step 7: a/b.ckpt; continue with --resume --output" in capsys.readouterr().err


def test_a_run_stopped_in_a_teacher_resumes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, run = tmp_path / "taught.yaml", tmp_path / "run"
    settings.write_text(quick_config(epochs=2, distill={"teachers": 2}).to_yaml())
    with signalled_at("teacher 1/2: epoch 1/2"):
        yoloscope.training.train.train(TrainingConfig.load(settings), data, run)
    with pytest.raises(ConfigError, match="continue it with --resume"):
        train(data, config=str(settings), output=run)
    train(data, resume=True, output=run)
    told = capsys.readouterr().err
    assert "teacher 2/2: epoch 2/2" in told
    assert f"wrote {run / 'model.onnx'}" in told


def test_other_ranks_end_alike_and_tell_nothing(
    data: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("yoloscope.app.commands.train.is_first", lambda: False)
    ended = yoloscope.training.train.TrainResult(
        7, (7, 0.5, 0.9), tmp_path / "last.ckpt", signal=None, artifact=None, parity=None
    )
    monkeypatch.setattr("yoloscope.app.commands.train.train_detector", lambda *_, **__: ended)
    train(data, config=config, output=tmp_path / "run")

    def fail(*_: object, **__: object) -> None:
        raise DatasetError("a bad image")

    monkeypatch.setattr("yoloscope.app.commands.train.train_detector", fail)
    with pytest.raises(typer.Exit) as exit_:
        train(data, config=config, output=tmp_path / "run")
    assert exit_.value.exit_code == 1
    assert capsys.readouterr().err == ""
