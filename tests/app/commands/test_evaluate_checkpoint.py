"""``yoloscope evaluate`` of a run in training."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import yoloscope.training.train
from tests.training.runs import quick_config, write_shapes
from yoloscope.app.cli import build
from yoloscope.models.errors import CheckpointError, ModelNotFoundError, ProviderError, YoloscopeError
from yoloscope.training.checkpoint.files import read_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, and beside it a run on it that learnt a little."""
    folder = tmp_path_factory.mktemp("evaluate-checkpoint")
    write_shapes(folder / "data")
    config = quick_config(epochs=40, data={"val": "val"}, ema={"decay": 0.5}, validation={"every_epochs": 10})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
        yoloscope.training.train.train(config, folder / "data", folder / "runs" / "a")
    return folder


def evaluate(folder: Path, model: str, *more: str) -> str:
    arguments = ["evaluate", model, "--data", str(folder / "data"), "--split", "val", "--provider", "cpu", *more]
    result = CliRunner().invoke(build(arguments), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", ["runs/a", "runs/a/best.ckpt", "runs/a/last.ckpt"])
def test_the_numbers_are_those_of_validation(folder: Path, name: str) -> None:
    document = json.loads(evaluate(folder, str(folder / name), "--json"))
    progress = read_checkpoint(folder / "runs" / "a" / "last.ckpt")["progress"]
    best = max(progress["scores"], key=lambda score: score[1])
    _, ap, ap50 = progress["scores"][-1] if name.endswith("last.ckpt") else best
    assert ap50 > 0
    assert (document["AP"], document["AP50"]) == pytest.approx((ap, ap50))
    called = "a/last.ckpt" if name.endswith("last.ckpt") else "a/best.ckpt"
    assert (document["model"]["name"], document["model"]["provider"]) == (called, "cpu")
    assert len(document["model"]["version"]) == 12


def test_the_table_names_the_checkpoint(folder: Path) -> None:
    assert evaluate(folder, str(folder / "runs" / "a")).startswith("a/best.ckpt on ")


def test_a_folder_beside_needs_no_separator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "runs")
    assert evaluate(folder, "a").startswith("a/best.ckpt on ")


@pytest.mark.parametrize(
    ("model", "more", "error", "words"),
    [
        ("{folder}/runs", (), CheckpointError, "expected a checkpoint or the folder of a run"),
        ("{folder}/runs/a/none.ckpt", (), CheckpointError, "expected a checkpoint at"),
        ("{folder}/runs/a/config.onnx", (), ModelNotFoundError, "expected a model file at"),
        ("{folder}/runs/a", ("--provider", "cuda"), ProviderError, "finds no GPU"),
    ],
)
def test_what_is_wrong_is_told(
    folder: Path,
    model: str,
    more: tuple[str, ...],
    error: type[YoloscopeError],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(error, match=words):
        evaluate(folder, model.format(folder=folder), *more)
