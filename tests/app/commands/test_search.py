"""``yoloscope search`` as a user calls it."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training.runs import quick_config, write_shapes
from yoloscope.app.cli import build
from yoloscope.app.commands.search import search
from yoloscope.models.errors import ConfigError
from yoloscope.training.config import find_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a configuration and a space."""
    folder = tmp_path_factory.mktemp("search-command")
    write_shapes(folder / "data")
    config = quick_config(epochs=5, data={"val": "val"}, ema={"decay": 0.5})
    (folder / "quick.yaml").write_text(config.to_yaml())
    (folder / "space.yaml").write_text(
        "optimizer.lr: {low: 2e-3, high: 8e-3, log: true}\nloss.overrides.weights.box: {choices: [2.0, 1.0e+300]}\n"
    )
    (folder / "rate.yaml").write_text("optimizer.lr: {low: 0.002, high: 0.008}\n")
    return folder


def run(folder: Path, *more: str, space: str = "space.yaml") -> Result:
    arguments = ["search", "--data", str(folder / "data"), "--config", str(folder / "quick.yaml"), "--seed", "1"]
    arguments += ["--space", str(folder / space), "--epochs", "1", *more]
    return CliRunner().invoke(build(arguments), arguments, catch_exceptions=False)


def test_trials_that_diverge_are_shown_and_the_best_can_be_trained(folder: Path) -> None:
    output = folder / "a"
    result = run(folder, "--trials", "6", "--output", str(output))
    assert result.exit_code == 0
    assert "trial 1/6: optimizer.lr " in result.stderr
    assert "epoch 1  AP " in result.stderr
    lines = result.stdout.splitlines()
    assert any("failed" in line for line in lines)
    assert lines[-1].startswith("best: trial ")
    assert lines[-1].endswith(f"{output / 'best.yaml'}")
    document = json.loads(run(folder, "--trials", "6", "--output", str(output), "--json").stdout)
    states = [trial["state"] for trial in document["trials"]]
    assert set(states) == {"complete", "failed"}
    failed = next(trial for trial in document["trials"] if trial["state"] == "failed")
    assert failed["values"]["loss.overrides.weights.box"] == 1e300
    assert failed["reason"] in result.stdout
    best = document["best"]
    assert Path(best["checkpoint"]).is_file()
    config = find_config(best["config"])
    assert config.optimizer.lr == best["values"]["optimizer.lr"]
    assert (config.epochs, config.loss.overrides) == (1, {"weights": {"box": 2.0}})


def test_a_signal_ends_with_the_status_of_shells_and_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = "yoloscope.training.search.run.TrialReporting.catch_up"
    pending = [signal.SIGTERM]

    def stop_once(*_: object) -> None:
        if pending:
            os.kill(os.getpid(), pending.pop())

    monkeypatch.setattr(interrupt, stop_once)
    options = ("--trials", "1", "--output", str(folder / "b"), "--epochs", "2")
    stopped = run(folder, *options, space="rate.yaml")
    assert stopped.exit_code == 143
    assert "stopped after 0 trials: the same command goes on" in stopped.stderr
    monkeypatch.undo()
    assert run(folder, *options, space="rate.yaml").exit_code == 0


def test_a_signal_between_two_trials_ends_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yoloscope.training.search.run.check_space", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    stopped = run(folder, "--trials", "1", "--output", str(folder / "e"), space="rate.yaml")
    assert stopped.exit_code == 130
    assert "stopped: the same command goes on" in stopped.stderr


def test_a_search_in_vain_says_so(folder: Path) -> None:
    (folder / "vain.yaml").write_text("loss.overrides.weights.box: {choices: [1.0e+300]}\n")
    with pytest.raises(ConfigError, match="expected a trial that comes to its end, got none"):
        run(folder, "--trials", "1", "--output", str(folder / "c"), space="vain.yaml")


def test_without_optuna_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yoloscope.training.search.run", "yoloscope.training.search.study", "optuna.trial"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"needs optuna: pip install 'yoloscope\[search\]'"):
        search(folder / "data", output=folder / "d")
    assert not (folder / "d").exists()


def test_wrong_options(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--data: expected a data set"):
        search()
    with pytest.raises(ConfigError, match="--accelerator: expected auto, cpu or gpu, got 'tpu'"):
        run(folder, "--accelerator", "tpu")
    with pytest.raises(ConfigError, match=r"expected a YAML file at .*none"):
        run(folder, space="none.yaml")
