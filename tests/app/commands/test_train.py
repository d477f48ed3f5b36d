"""``yoloscope train`` as a user calls it."""

import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import yoloscope.training.train
from tests.training.runs import quick_config, signalled_at, write_shapes
from yoloscope.app.cli import COMMANDS, build
from yoloscope.app.commands.train import train
from yoloscope.models.errors import CheckpointError, ConfigError, DatasetError
from yoloscope.models.locks import alone_in
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.config import TrainingConfig
from yoloscope.training.teachers import teacher_config


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
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", "last.ckpt", "logs", "run.json"}


def test_start_and_size_are_options_and_a_run_brings_its_network(
    data: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, config=config, epochs=1, output=tmp_path / "first")
    monkeypatch.chdir(tmp_path)
    words = ["train", "--data", str(data), "--start", "first", "--size", "96x64", "--epochs", "1"]
    assert "start first: 21 of 21 layers taken" in call(words)
    written = TrainingConfig.load(tmp_path / "runs" / "first" / "config.yaml")
    assert (written.network_options, written.input_size, written.start) == ({"width": 0.125}, (96, 64), "first")
    with pytest.raises(ConfigError, match=r"start: 'first' there, \('a.cfg', 'a.weights'\) here|start: 'first' there"):
        train(resume=True, run=tmp_path / "runs" / "first", start=["a.cfg", "a.weights"])
    with pytest.raises(ConfigError, match="--size: expected WIDTHxHEIGHT or one number"):
        train(data, size="64 x 64")


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


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_is_trained_in_by_one_process(data: Path, config: str, tmp_path: Path, *, resume: bool) -> None:
    train(data, config=config, epochs=1, output=tmp_path / "run")
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    output = tmp_path / "run" if resume else tmp_path / "other"
    with alone_in(output, "training"), pytest.raises(ConfigError, match=f"{output}: another training is at work there"):
        train(data, config=config, epochs=1, output=output, resume=resume)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    assert not (tmp_path / "other").exists()


def test_resume_takes_the_configuration_of_the_run(data: Path, config: str, tmp_path: Path) -> None:
    train(data, config=config, output=tmp_path / "run")
    train(data, config=config, resume=True, output=tmp_path / "run")
    train(run=tmp_path / "run", resume=True)
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        train(resume=True, output=tmp_path / "run")


def test_options_given_again_that_differ_are_named_with_both_values(data: Path, config: str, tmp_path: Path) -> None:
    train(data, config=config, output=tmp_path / "run")
    other = tmp_path / "other.yaml"
    other.write_text(quick_config(epochs=3, seed=5).to_yaml())
    with pytest.raises(ConfigError, match="epochs: 2 there, 3 here; seed: 0 there, 5 here; leave them out, or edit"):
        train(run=tmp_path / "run", config=str(other), resume=True)
    with pytest.raises(ConfigError, match="network: 'yolov4-tiny' there, 'yolov3' here"):
        train(run=tmp_path / "run", network="yolov3", resume=True)
    with pytest.raises(ConfigError, match=r"expected one run, got .*run, and .*other by --output"):
        train(run=tmp_path / "run", output=tmp_path / "other", resume=True)
    with pytest.raises(ConfigError, match="expected --resume beside the folder of a run"):
        train(data, run=tmp_path / "run")


def test_epochs_are_raised_and_data_that_moved_are_named(
    data: Path, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, config=config, output=tmp_path / "run")
    moved = data.rename(tmp_path / "moved")
    train(moved, run=tmp_path / "run", epochs=3, resume=True)
    told = capsys.readouterr().err
    assert f"resumed with --data: {moved}, so far {data}" in told
    assert "resumed with epochs: 3, so far 2" in told
    assert "epoch 3/3" in told
    train(run=tmp_path / "run", resume=True)
    assert "nothing left to train: all 3 steps are done" in capsys.readouterr().err


def test_a_run_of_before_needs_its_data_once(data: Path, config: str, tmp_path: Path) -> None:
    train(data, config=config, output=tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(ConfigError, match="--data: expected the data set of the run"):
        train(run=tmp_path / "run", resume=True)
    train(data, run=tmp_path / "run", epochs=3, resume=True)
    train(run=tmp_path / "run", epochs=4, resume=True)


def hint(told: str) -> list[str]:
    """The words behind the name of the command in the line that says how to go on."""
    (line,) = [line for line in told.splitlines() if "continue with: " in line]
    return shlex.split(line.partition("continue with: ")[2])[1:]


def call(words: list[str]) -> str:
    result = CliRunner().invoke(build(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr


def test_the_hint_works_as_printed_from_any_folder(
    data: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data.parent)
    with signalled_at("epoch 1/3", signal.SIGINT), pytest.raises(typer.Exit) as stopped:
        train(Path("data"), config=config, epochs=3, output=tmp_path / "it's my run")
    assert stopped.value.exit_code == 130
    words = hint(capsys.readouterr().err)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "epoch 3/3" in call(words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_teachers_prints_the_hint_of_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    settings, run = tmp_path / "taught.yaml", tmp_path / "run"
    settings.write_text(quick_config(epochs=1, distill={"teachers": 2}).to_yaml())
    own = teacher_config

    def interrupted(config: TrainingConfig, teacher: int, spec: DetectorSpec) -> TrainingConfig:
        if teacher == 1:
            os.kill(os.getpid(), number)
        return own(config, teacher, spec)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(yoloscope.training.train, "teacher_config", interrupted)
        with pytest.raises(typer.Exit) as stopped:
            train(data, config=str(settings), output=run)
    assert stopped.value.exit_code == 128 + number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    words = hint(capsys.readouterr().err)
    assert words == ["train", "--resume", str(run)]
    told = call([*words, "--epochs", "2"])
    assert "teacher 1/2: resumed with epochs: 2, so far 1" in told
    assert "teacher 2/2: epoch 2/2" in told
    assert "\nepoch 2/2" in told


def test_a_signal_before_the_first_step_promises_nothing(
    data: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(yoloscope.training.train, "open_splits", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(typer.Exit) as stopped:
        train(data, config=config, output=tmp_path / "run")
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err == "stopped before the first step\n"


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
    assert (
        f"stopped after step 7: a/b.ckpt; continue with: yoloscope train --resume {tmp_path / 'run'}"
        in capsys.readouterr().err
    )


def test_a_run_stopped_in_a_teacher_resumes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, run = tmp_path / "taught.yaml", tmp_path / "run"
    settings.write_text(quick_config(epochs=2, distill={"teachers": 2}).to_yaml())
    with signalled_at("teacher 1/2: epoch 1/2"):
        yoloscope.training.train.train(TrainingConfig.load(settings), data, run)
    with pytest.raises(ConfigError, match=r"continue it with yoloscope train --resume .*run or choose"):
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
