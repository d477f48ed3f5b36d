"""Corrected copies of data sets as tools and people leave them."""

from pathlib import Path

import pytest

from tests.training.data.datasets.folders import BOXES, voc_xml, write_image, write_text, yolo_lines
from tests.training.data.datasets.test_open_arrangements import yolo_label_studio
from tests.training.diagnostics.mending.scenes import labels_of
from tests.training.diagnostics.reports import finding
from yoloscope.models.errors import DatasetError
from yoloscope.training.diagnostics.mending import mend


class TestClassesThatAModelTakesForOne:
    """A data set may have ``dog`` and ``Dog``; findings have the model's spelling for both."""

    def test_the_label_keeps_its_own(self, tmp_path: Path) -> None:
        for stem, name in (("a", "Dog"), ("b", "dog")):
            write_image(tmp_path / f"data/images/{stem}.jpg")
            write_text(
                tmp_path / f"data/annotations/{stem}.xml", voc_xml([(name, (4, 3, 12, 9)), ("cat", (0, 0, 4, 4))])
            )
        box, moved = (4.0, 3.0, 12.0, 9.0), (5.0, 3.0, 13.0, 9.0)
        findings = [finding("location", f"images/{stem}.jpg", 0, "dog", box, ("dog", moved), 0.9) for stem in "ab"]
        mended = mend(findings, tmp_path / "data", tmp_path / "copy")
        assert (mended.counts["moved"], mended.counts["relabeled"]) == (2, 0)
        assert labels_of(tmp_path / "copy") == {
            stem: [(name, moved), ("cat", (0, 0, 4, 4))] for stem, name in (("a", "Dog"), ("b", "dog"))
        }


def test_a_data_set_without_one_of_its_splits_is_mended(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_image(root / "train/images/a.png")
    write_text(root / "train/labels/a.txt", yolo_lines(BOXES["a"]))
    write_text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n")
    spurious = finding("spurious", "train/images/a.png", 0, "cat", (4, 3, 12, 9), None, 0.9)
    mended = mend([spurious], root, tmp_path / "copy", split="train")
    assert mended.files == ("train/labels/a.txt",)


def test_an_image_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    root = tmp_path / "data"
    yolo_label_studio(root)
    gone = [
        finding("missing", "images/gone.jpg", None, "cat", box, ("cat", box), 0.9)
        for box in [(1, 1, 3, 3), (4, 4, 9, 9)]
    ]
    with pytest.raises(DatasetError) as raised:
        mend(gone, root, tmp_path / "copy")
    assert str(raised.value).count("gone.jpg") == 1
