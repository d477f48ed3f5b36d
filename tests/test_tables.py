"""Every table of the commands fits a terminal of 80 columns, with nothing cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from yoloscope.app.cli import build

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
    rows = [line for line in result.stdout.splitlines() if line[:1] in "│┃┏┡└├" or words.startswith("explain")]
    assert rows
    assert max(map(len, rows)) <= 80
    assert not [row for row in rows if "…" in row]
