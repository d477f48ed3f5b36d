"""``yoloscope evaluate``, in this process: the tiny model finds fixed boxes on an image of its own size."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.artifact import write_tiny_artifact
from yoloscope.app.cli import main

ANNOTATIONS = [
    {"id": 10, "image_id": 7, "category_id": 3, "bbox": [4, 8, 16, 16], "area": 256, "iscrowd": 0},
    {"id": 11, "image_id": 7, "category_id": 5, "bbox": [0, 0, 16, 16], "area": 256, "iscrowd": 0},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate-command")
    write_tiny_artifact(folder / "models" / "tiny.onnx")
    data = folder / "data"
    data.mkdir()
    Image.fromarray(np.full((32, 32, 3), 51, np.uint8)).save(data / "a.png")
    document = {
        "images": [{"id": 7, "file_name": "a.png", "width": 32, "height": 32}],
        "annotations": ANNOTATIONS,
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    }
    (data / "instances_val2017.json").write_text(json.dumps(document))
    return folder


def _run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    options = ("--provider", "cpu", "--models-dir", str(folder / "models"))
    monkeypatch.setattr(sys, "argv", ["yoloscope", "evaluate", *arguments, *options])
    with pytest.raises(SystemExit) as left:
        main()
    written = capsys.readouterr()
    return int(left.value.code or 0), written.out, written.err


def test_json_has_cocos_numbers_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cat: right at .6, wrong at .125; dog: right at .5."""
    arguments = ("tiny", "--data", str(folder / "data"), "--split", "val", "--json")
    code, out, _ = _run(folder, monkeypatch, capsys, *arguments)
    document = json.loads(out)
    assert code == 0
    assert document["AP"] == document["AP50"] == document["ARs"] == pytest.approx(1)
    assert document["data"] == {
        "source": str(folder / "data" / "instances_val2017.json"),
        "split": "val",
        "images": 1,
        "objects": 2,
        "detections": 4,
        "left_out": [],
    }
    assert document["model"]["name"] == "tiny"


def test_tables_a_page_and_predictions_in_the_categories_of_the_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, rows = folder / "out" / "page.html", folder / "out" / "rows.json"
    arguments = ("--model", "tiny", "--data", str(folder / "data"), "--html", str(page), "--predictions", str(rows))
    code, out, _ = _run(folder, monkeypatch, capsys, *arguments)
    assert code == 0
    for text in ("AP50 1.000", "cat", "localisation", "images per second"):
        assert text in out
    assert "Evaluation of tiny" in page.read_text("utf-8")
    first = json.loads(rows.read_text())[0]
    assert (first["image_id"], first["category_id"], first["bbox"]) == (7, 3, [4, 8, 16, 16])
    assert first["score"] == pytest.approx(0.6)


def test_an_argument_comes_before_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("YOLOSCOPE_MODEL", "other")
    left, _, said = _run(folder, monkeypatch, capsys, "tiny", "--data", "nowhere")
    assert (left, "expected a data set at nowhere" in said) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tiny",), 2, "--data: expected a data set, got none"),
        (("tiny", "--model", "other", "--data", "x"), 2, "expected one model, got 'tiny' and 'other'"),
        (("tiny", "--data", "nowhere"), 1, "expected a data set at nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    left, _, said = _run(folder, monkeypatch, capsys, *arguments)
    assert left == code
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_data_set_without_splits_is_taken_as_a_whole_and_its_notes_are_logged(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.full((32, 32, 3), 51, np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 .125 .25 .625 .25 .625 .75 .125 .75\n1 .25 .25 .5 .5\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    code, out, _ = _run(folder, monkeypatch, capsys, "tiny", "--data", str(tmp_path), "--json")
    document = json.loads(out)
    assert code == 0
    assert document["data"]["images"] == 1
    assert document["data"]["objects"] == 2
    assert document["AP50"] == pytest.approx(1)
    assert [record.message for record in caplog.records] == [
        f"1 oriented box in {tmp_path}: read as the boxes that enclose them"
    ]
    code, _, err = _run(folder, monkeypatch, capsys, "tiny", "--data", str(tmp_path), "--shapes", "refuse")
    assert code == 1
    assert "a.txt#/lines/0: expected 5 columns (class cx cy w h), got 9; polygons are not boxes" in err.replace(
        "\n", " "
    )


class TestDetectionsOfAnybody:
    """``--detections``: the cat of the data is found, the dog is not."""

    def judge(
        self,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *rows: dict[str, object],
    ) -> tuple[int, str, str]:
        path = tmp_path / "results.json"
        path.write_text(json.dumps(rows))
        return _run(folder, monkeypatch, capsys, "--detections", str(path), "--data", str(folder / "data"), "--json")

    @pytest.mark.parametrize("image", [{"image_id": 7}, {"image_id": "a"}, {"file_name": "data/a.png"}])
    @pytest.mark.parametrize("category", [{"category_id": 3}, {"category_name": "Cat"}])
    def test_by_id_and_by_name(
        self,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        image: dict[str, object],
        category: dict[str, object],
    ) -> None:
        row = {**image, **category, "bbox": [4, 8, 16, 16], "score": 0.5}
        code, out, _ = self.judge(folder, tmp_path, monkeypatch, capsys, row)
        document = json.loads(out)
        assert code == 0
        assert document["AP"] == pytest.approx(0.5)
        assert document["data"]["detections"] == 1
        assert document["speed"] is None
        assert document["model"]["name"] == "results.json"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"image_id": 8}, "/0: expected the id or the file name of an image, got image_id 8"),
            ({"category_id": 4}, "/0: expected the id or the name of a category (3 cat, 5 dog), got category_id 4"),
            ({"bbox": [1, 2, 3]}, "/0: expected bbox [x, y, width, height], got [1, 2, 3]"),
            ({"score": None}, "/0: expected a score, got None"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        change: dict[str, object],
        message: str,
    ) -> None:
        row = {"image_id": 7, "category_id": 3, "bbox": [4, 8, 16, 16], "score": 0.5} | change
        code, _, said = self.judge(folder, tmp_path, monkeypatch, capsys, row)
        assert code == 1
        assert message in said

    def test_the_labels_are_not_written_over(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        labels = folder / "data" / "instances_val2017.json"
        before = labels.read_bytes()
        arguments = ("tiny", "--data", str(folder / "data"), "--predictions", str(labels))
        code, _, said = _run(folder, monkeypatch, capsys, *arguments)
        assert (code, labels.read_bytes()) == (2, before)
        assert "--predictions: expected another file than the inputs" in said
