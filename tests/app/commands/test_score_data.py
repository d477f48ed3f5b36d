"""``yoloscope score --data``: images and objects ranked by loss."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.app.commands.conftest import Run
from yoloscope.app.commands.score_data import Costliest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, lines in (("a", "0 .5 .5 .5 .5\n"), ("b", "0 .5 .5 .5 .5\n1 .5 .5 0 .5\n1 .3 .3 .4 .4\n")):
        for folder in ("images", "labels"):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (51, 51, 51)).save(tmp_path / "data" / "images" / f"{name}.png")
        (tmp_path / "data" / "labels" / f"{name}.txt").write_text(lines)
    (tmp_path / "data" / "classes.txt").write_text("cat\ndog\n")
    return tmp_path / "data"


def test_a_ranking_skips_the_bad_label_alone_and_agrees_with_the_score_of_an_image(run: Run, data: Path) -> None:
    document = json.loads(run("score", "--data", data, "-m", "tiny", "--json").stdout)
    assert (document["num_images"], document["num_objects"]) == (2, 3)
    totals = [entry["total"] for entry in document["images"]]
    assert totals == sorted(totals, reverse=True)
    costs = [entry["total"] for entry in document["objects"]]
    assert costs == sorted(costs, reverse=True)
    assert document["mean"] == pytest.approx(sum(totals) / 2)
    (skipped,) = document["skipped"]
    assert skipped["location"].endswith("b.txt#/lines/1")
    single = json.loads(
        run("score", data / "images" / "a.png", data / "labels" / "a.txt", "-m", "tiny", "--json").stdout
    )["results"][0]
    by_file = {Path(entry["file"]).name: entry for entry in document["images"]}
    assert by_file["a.png"]["total"] == pytest.approx(single["total"])
    of_a = next(entry for entry in document["objects"] if entry["file"].endswith("a.png"))
    assert of_a["why"] == single["by_object"][0]["why"]


def test_tables_fit_80_columns_and_limit_the_rows(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("score", "--data", data, "-m", "tiny", "--limit", "1").stdout.splitlines()
    assert max(len(line) for line in lines if "│" in line) <= 80
    assert sum("b.txt" in line and "│" in line for line in lines) <= 1
    assert any(line.startswith("skipped") for line in lines)


@pytest.mark.parametrize("kept", [10, 50])
def test_an_image_that_cannot_be_read_is_named(run: Run, data: Path, kept: int) -> None:
    """10 bytes are less than the header, 50 end in the pixels."""
    path = data / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:kept])
    result = run("score", "--data", data, "-m", "tiny", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["num_images"] == 1
    assert any("a.png" in skipped["location"] for skipped in document["skipped"])


def test_the_costliest_are_kept() -> None:
    kept: Costliest[str] = Costliest(2)
    for cost, name in ((1.0, "a"), (3.0, "b"), (2.0, "c"), (3.0, "d")):
        kept.add(cost, name)
    assert kept.ranked() == ["b", "d"]


def test_tables_fit_80_columns_with_every_word_whole(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box covers half of the image, 176x128 px of the input: the largest anchor has it."""
    monkeypatch.setenv("COLUMNS", "80")
    (data / "classes.txt").write_text("Platelets\nRBC\nWBC\n")
    image, labels = data / "images" / "a.png", data / "labels" / "a.txt"
    output = run("score", image, labels, "-m", "builtin").stdout
    assert max(map(len, output.splitlines())) <= 80
    assert "…" not in output
    entry = json.loads(run("score", image, labels, "-m", "builtin", "--json").stdout)["results"][0]["by_object"][0]
    place = entry["assignments"][0]
    assert place["anchor_px"] == [119, 106]
    said = f"stride 32, cell {place['cell'][0]},{place['cell'][1]}, anchor 119x106 px, responsible"
    assert set(f"{entry['why']} {said}".split()) <= set(output.replace("│", " ").split())
