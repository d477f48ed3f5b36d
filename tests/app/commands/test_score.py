"""``yoloscope score``, in this process."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.app.scoring import LABELS, NAMES, image, write_models
from yoloscope.app.cli import main

OPTIONS = ("--model", "v4", "--provider", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_models(tmp_path_factory.mktemp("score-command"))
    (folder / "a.png").write_bytes(image())
    (folder / "a.txt").write_bytes(LABELS)
    return folder


def _run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    files = (str(folder / "a.png"), str(folder / "a.txt"))
    given = ["yoloscope", "score", *files, *OPTIONS, "--models-dir", str(folder), *arguments]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        main()
    written = capsys.readouterr()
    return int(left.value.code or 0), written.out, written.err


def test_tables_name_terms_objects_and_unexplained_predictions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(folder, monkeypatch, capsys)
    assert code == 0
    for text in ("no_objectness", "8x8 grid", "traffic light, line 3", "responsible", "that no label explains"):
        assert text in out


def test_json_is_the_document_of_the_service(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(folder, monkeypatch, capsys, "--json", "--preset", "v3", "--detail", "cells")
    document = json.loads(out)
    assert code == 0
    assert document["preset"] == "v3"
    (result,) = document["results"]
    assert sum(term["weighted"] for term in result["terms"].values()) == pytest.approx(result["total"], rel=1e-5)
    assert "cells" in result["by_scale"][0]


def test_maps_are_saved(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "new" / "maps.png"
    code, _, _ = _run(folder, monkeypatch, capsys, "--save", str(target))
    assert code == 0
    with Image.open(target) as page:
        assert page.format == "PNG"


def test_every_fault_of_the_labels_is_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = folder / "wrong.txt"
    wrong.write_bytes(b"9 .5 .5 .1 .1\n0 .5\n")
    files = ["yoloscope", "score", str(folder / "a.png"), str(wrong), *OPTIONS, "--models-dir", str(folder)]
    monkeypatch.setattr(sys, "argv", files)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    error = capsys.readouterr().err
    assert "2 faults" in error
    assert "line 1: expected a class of the model, got '9'" in error
    assert "line 2: expected 5 columns" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("--detail", "all"),
        ("--labels-format", "csv"),
        ("--save", "maps.gif"),
        ("--save", "maps.png", "--detail", "summary"),
    ],
)
def test_wrong_options_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, _, error = _run(folder, monkeypatch, capsys, *arguments)
    assert code == 2
    assert "expected" in error


def _score_in_set(
    folder: Path,
    tmp_path: Path,
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *options: str,
) -> tuple[int, str, str]:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 .5 .5 .4 .4\n")
    if names:
        (tmp_path / "classes.txt").write_text(names)
    files = ["yoloscope", "score", str(folder / "a.png"), str(tmp_path / "labels" / "a.txt"), *OPTIONS]
    monkeypatch.setattr(sys, "argv", [*files, "--models-dir", str(folder), *options])
    with pytest.raises(SystemExit) as left:
        main()
    written = capsys.readouterr()
    return int(left.value.code or 0), written.out, written.err


@pytest.mark.parametrize(
    ("names", "expected", "source"),
    [("person\ntraffic light\n", "traffic light", "classes.txt"), ("", NAMES[1], "the model's own")],
)
def test_class_ids_are_those_of_the_data_set_that_the_labels_lie_in(
    names: str,
    expected: str,
    source: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = _score_in_set(folder, tmp_path, names, monkeypatch, capsys, "--json")
    assert code == 0
    (entry,) = json.loads(out)["results"][0]["by_object"]
    assert expected in entry.values()
    assert source in err


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("person\n", "line 1: expected a class id of 0..0, got 1"),
        ("person\nunicorn\n", "line 1: expected a class of the model, got 'unicorn'"),
    ],
)
def test_class_names_that_do_not_fit_are_an_error(
    names: str,
    words: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = _score_in_set(folder, tmp_path, names, monkeypatch, capsys)
    assert code == 1
    assert words in err
