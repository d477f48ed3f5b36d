from pathlib import Path

import pytest

from tests.training.data.datasets.folders import write_image, write_text, write_yolo
from yoloscope.training.data.audit import audit
from yoloscope.training.data.datasets import open_dataset


def _files_of(path: Path, split: str | None = None) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path.name) for problem in open_dataset(path, split).problems]


def test_label_files_without_an_image_are_named_in_their_split_and_harmless(tmp_path: Path) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "images/train/c.heic", "a format that is not read")
    write_text(tmp_path / "labels/train/c.txt", "\n0 .5 .5 .5 .5\n")
    assert _files_of(tmp_path) == _files_of(tmp_path, "train") == [("unused_labels", "c.txt")]
    assert _files_of(tmp_path, "val") == []
    dataset = open_dataset(tmp_path)
    dataset.require_sound()
    assert [(finding.kind, finding.path.name) for finding in audit(dataset)] == [("unused_labels", "c.txt")]


@pytest.mark.parametrize("text", ["", "cat\n", "1\n2\n", "images/train/c.jpg\n", "notes of 5 words here\n", "\xff"])
def test_other_text_files_are_no_labels(tmp_path: Path, text: str) -> None:
    write_text(write_yolo(tmp_path) / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "labels/train/c.txt", text)
    assert _files_of(tmp_path) == []


def test_labels_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "a.png")
    for stem in ("a", "b"):
        write_text(tmp_path / "set" / f"{stem}.txt", "0 .5 .5 .5 .5\n")
    write_text(tmp_path / "data.yaml", "train: set\nnames: [cat]\n")
    assert _files_of(tmp_path) == [("unused_labels", "b.txt")]
