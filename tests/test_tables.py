"""Every table of the commands fits a terminal of 80 columns, with nothing cut off."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import onnx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.conftest import ROOT
from yoloscope.app.cli import build
from yoloscope.app.commands.export import ExportResult, Measured, show_export
from yoloscope.app.commands.search import show_search
from yoloscope.app.services.runtime import Runtime
from yoloscope.models import zoo
from yoloscope.training.export.compare import Agreement, Latency
from yoloscope.training.export.quantization.int8 import Int8Network, LayerChoice
from yoloscope.training.search.run import SearchResult
from yoloscope.training.search.study import TrialRecord

IMAGE = ROOT / "docs" / "images" / "blood.jpg"
LABELS = (
    "2 .5 .5 .35 .44\n1 .2 .3 .1 .1\n0 .8 .8 .05 .05\n1 .7 .2 .16 .2\n1 .1 .8 .2 .18\n1 .3 .8 .14 .3\n0 .9 .5 .04 .09\n"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two blood images with labels in a folder of a long name."""
    folder = tmp_path_factory.mktemp("a-data-set-in-a-folder-whose-name-is-longer-than-most-that-people-give")
    for name in ("the-first-image-with-a-long-name-of-its-own", "b"):
        for place in ("images", "labels"):
            (folder / place).mkdir(exist_ok=True)
        (folder / "images" / f"{name}.jpg").write_bytes(IMAGE.read_bytes())
        (folder / "labels" / f"{name}.txt").write_text(LABELS)
    (folder / "classes.txt").write_text("Platelets\nRBC\nWBC\n")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "models",
        "explain all",
        "detect IMAGE -m builtin",
        "score IMAGE FIRST -m builtin",
        "score IMAGE FIRST -m builtin --preset v3-darknet",
        "score --data DATA -m builtin",
        "evaluate builtin --data DATA",
        "anchors --data DATA --network yolov4-tiny --size 416x416",
    ],
)
def test_a_table_fits_80_columns(words: str, data: Path, tmp_path: Path) -> None:
    label = data / "labels" / "b.txt"
    arguments = [
        {"IMAGE": str(IMAGE), "FIRST": str(label), "DATA": str(data)}.get(word, word) for word in words.split()
    ]
    settings = {"COLUMNS": "80", "YOLOSCOPE_MODELS_DIR": str(tmp_path), "YOLOSCOPE_PROVIDER": "cpu"}
    result = CliRunner().invoke(build(arguments), arguments, env=settings)
    assert result.exit_code == 0, result.output
    _check(result.stdout, all_lines=words.startswith("explain"))


def _check(text: str, *, all_lines: bool = False) -> None:
    rows = [line for line in text.splitlines() if line[:1] in "│┃┏┡└├" or all_lines]
    assert rows
    assert max(map(len, rows)) <= 80
    assert not [row for row in rows if "…" in row]


def _printed() -> tuple[Console, StringIO]:
    text = StringIO()
    return Console(file=text, width=80, highlight=False, markup=False), text


def test_the_tables_of_an_export_fit_80_columns() -> None:
    runtime = Runtime(zoo.BUILTIN, "cpu", 1)
    layers = (
        LayerChoice(
            "/backbone/stage.4/partial/blocks.7/residual/convolution.2/conv/Conv_quantized",
            12.3456,
            0.4321,
            in_float=False,
        ),
        LayerChoice("/heads.2/conv/Conv", None, 0.0001, in_float=True),
    )
    int8 = Int8Network(onnx.ModelProto(), "extremes", {"extremes": 0.123, "percentile": 12.345}, layers, 0.045)
    agreement = Agreement(1000, 0.0123, 123.4, 0.123, 12_345, 12_340)
    ap = ({"AP": 0.4321, "AP50": 0.6789}, {"AP": 0.4300, "AP50": 0.6780})
    timing = Latency(1234.5, 234.5)
    measured = Measured(runtime, runtime, (256_123_456, 64_123_456), agreement, timing, ap)
    console, text = _printed()
    show_export(ExportResult("int8", Path("small-int8.onnx"), int8, measured), console)
    _check(text.getvalue())
    assert "234.5" in text.getvalue()
    assert "5.26x as fast" in text.getvalue()


def test_the_table_of_a_search_fits_80_columns(tmp_path: Path) -> None:
    values = {
        "optimizer.lr": 0.00123456,
        "loss.overrides.weights.box": 2.0,
        "augment.color.saturation": 1.23,
        "augment.mosaic.probability": 0.5,
    }
    records = (
        TrialRecord(1, "complete", 0.123, values, 100.0, 12_345.6),
        TrialRecord(100, "failed", None, values, 0.5, 3.0, "the loss is not finite at step 123"),
    )
    console, text = _printed()
    show_search(SearchResult(records, {"optimizer.lr": 1.0}, None), tmp_path, console)
    _check(text.getvalue())
    assert "0.123" in text.getvalue()
    assert "12346" in text.getvalue()
