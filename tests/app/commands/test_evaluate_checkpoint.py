"""``yoloscope evaluate`` of a run in training."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import yoloscope.training.train
from tests.training.runs import quick_config, write_shapes
from yoloscope.app.cli import build
from yoloscope.app.commands.evaluate import open_evaluated
from yoloscope.models.errors import CheckpointError, DatasetError, ModelNotFoundError, ProviderError, YoloscopeError
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


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images without splits."""
    folder = tmp_path_factory.mktemp("undivided")
    (folder / "classes.txt").write_text("square\n")
    for number in range(10):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("0 .5 .5 .5 .5\n")
    return folder


def _run_folder(folder: Path, val: str | float) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(quick_config(seed=5, data={"val": val}).to_yaml())
    (folder / "model.onnx").write_bytes(b"")
    return folder


@pytest.mark.parametrize(("val", "count"), [("val", 2), (0.3, 3)])
@pytest.mark.parametrize("name", [".", "model.onnx"])
def test_val_of_a_set_without_splits_is_what_the_run_held_out(
    undivided: Path, tmp_path: Path, name: str, val: str | float, count: int
) -> None:
    """Held out are the images whose sha256 of seed and name is least."""
    run = _run_folder(tmp_path / "run", val)
    ranked = sorted(undivided.glob("*.png"), key=lambda path: sha256(f"5/{path.name}".encode()).digest())
    for split in ("val", "valid"):
        found = open_evaluated(undivided, split, "enclose", str(run / name))
        assert {image.path for image in found.images} == set(ranked[:count])
        assert found.notes[-1].startswith(f"{split}: the {count} images of")


def test_val_of_a_model_that_is_no_run_is_looked_for_in_the_set(undivided: Path, tmp_path: Path) -> None:
    for model in ("builtin", str(tmp_path / "model.onnx"), None):
        with pytest.raises(DatasetError, match="expected one split 'val'"):
            open_evaluated(undivided, "val", "enclose", model)


def test_a_split_that_is_there_goes_before_what_was_held_out(folder: Path, tmp_path: Path) -> None:
    run = _run_folder(tmp_path / "run", 0.5)
    found = open_evaluated(folder / "data", "val", "enclose", str(run))
    assert {image.path for image in found.images} == set((folder / "data" / "images" / "val").iterdir())
