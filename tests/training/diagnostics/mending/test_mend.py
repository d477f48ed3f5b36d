"""Corrected copies of data sets in every layout: the labels are those intended, and the original is untouched."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import (
    BOXES,
    voc_xml,
    write_coco,
    write_image,
    write_text,
    write_voc,
    yolo_lines,
)
from tests.training.data.datasets.test_open_arrangements import (
    ARRANGEMENTS,
    coco_segmentation,
    voc_one_folder,
    yolo_cvat,
    yolo_label_studio,
    yolo_polygons,
    yolo_roboflow_darknet,
    yolo_yaml,
)
from tests.training.data.datasets.test_open_documented import LAYOUTS
from tests.training.data.datasets.test_open_documented import _write as write_documented
from tests.training.diagnostics.mending.scenes import MENDED, bytes_below, edits_of, labels_of
from tests.training.diagnostics.reports import finding
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.training.data.datasets import list_splits, open_dataset
from yoloscope.training.diagnostics.findings import Suggestion
from yoloscope.training.diagnostics.mending import mend

LABELS = {".xml", ".txt", ".json"}


def edited_files(data: Path, copy: Path) -> set[str]:
    """Files of the copy that differ from the original's; both have the same names but for new label files."""
    before, after = bytes_below(data), bytes_below(copy)
    assert before.keys() <= after.keys()
    return {name for name, digest in after.items() if before.get(name) != digest}


class TestEveryLayout:
    @pytest.mark.parametrize("write", [write for write, _ in ARRANGEMENTS.values()], ids=ARRANGEMENTS)
    def test_an_arrangement(self, tmp_path: Path, write: Callable[[Path], object]) -> None:
        data, copy = tmp_path / "data", tmp_path / "copy"
        data.mkdir()
        write(data)
        self.mend_and_compare(data, copy)

    @pytest.mark.parametrize("layout", LAYOUTS, ids=[layout[0] for layout in LAYOUTS])
    def test_a_documented_layout(self, tmp_path: Path, layout: list[str]) -> None:
        data, copy = tmp_path / "data", tmp_path / "copy"
        for name in layout:
            write_documented(data / name, layout)
        self.mend_and_compare(data, copy)

    def mend_and_compare(self, data: Path, copy: Path) -> None:
        before = bytes_below(data)
        mended = mend(edits_of(open_dataset(data), data), data, copy)
        assert labels_of(copy) == MENDED
        assert bytes_below(data) == before
        assert edited_files(data, copy) == {*mended.files, *mended.repointed}
        assert all(Path(name).suffix in LABELS for name in mended.files)
        assert dict(mended.counts) == {"added": 1, "relabeled": 1, "moved": 1, "deleted": 1}
        assert list_splits(copy) == list_splits(data)
        assert [path.name for path in data.parent.iterdir() if path.name.startswith(".")] == []


class TestSplits:
    def test_one_of_several_coco_files_is_mended(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        write_coco(data)
        write_coco(data, "annotations/instances_train2017.json")
        found = edits_of(open_dataset(data, "val"), data)
        mended = mend(found, data, tmp_path / "copy", split="val")
        assert mended.files == ("annotations/instances_val2017.json",)
        with pytest.raises(DatasetError, match="expected the name of a split"):
            mend(found, data, tmp_path / "other")

    def test_a_description_file_stands_for_the_folder_around_it(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        yolo_yaml(data)
        write_voc(data / "other")
        mended = mend(edits_of(open_dataset(data / "data.yaml"), data), data / "data.yaml", tmp_path / "copy")
        assert mended.files == ("labels/train/a.txt", "labels/val/b.txt")
        assert labels_of(tmp_path / "copy/data.yaml") == MENDED


class TestNames:
    @pytest.mark.parametrize("written", ["data", "./data/", "data/../data", "."])
    def test_the_folder_is_written_in_any_form(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
    ) -> None:
        yolo_cvat(tmp_path / "data")
        monkeypatch.chdir(tmp_path / "data" if written == "." else tmp_path)
        path, copy = Path(written), Path("../copy" if written == "." else "copy")
        mend(edits_of(open_dataset(path), path), path, copy)
        assert labels_of(tmp_path / "copy") == MENDED

    def test_findings_of_a_zip_that_holds_the_folder_fit_the_folder(self, tmp_path: Path) -> None:
        data = tmp_path / "pets"
        voc_one_folder(data)
        found = [replace(one, image=f"pets/{one.image}") for one in edits_of(open_dataset(data), data)]
        assert mend(found, data, tmp_path / "copy").files == ("a.xml", "b.xml")


class TestClasses:
    def test_a_class_in_another_spelling_is_written_in_that_of_the_data_set(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        voc_one_folder(data)
        found = finding("class", "a.jpg", 0, "CAT", (4, 3, 12, 9), ("Dog", (4, 3, 12, 9)), 0.9)
        mend([found], data, tmp_path / "copy")
        assert "<name>dog</name><bndbox><xmin>4" in (tmp_path / "copy/a.xml").read_text()

    @pytest.mark.parametrize(
        ("write", "name"),
        [
            (voc_one_folder, "b.jpg"),
            (yolo_label_studio, "images/b.png"),
            (yolo_cvat, "obj_train_data/b.png"),
            (yolo_roboflow_darknet, "valid/b.jpg"),
            (write_coco, "val2017/b.png"),
        ],
    )
    def test_a_new_class_is_refused_or_added(self, tmp_path: Path, write: Callable[[Path], object], name: str) -> None:
        data, copy = tmp_path / "data", tmp_path / "copy"
        data.mkdir()
        write(data)
        found = [
            finding("missing", name, None, "fox", (10, 10, 20, 20), ("fox", (10, 10, 20, 20)), 0.9),
            finding("class", name, 0, "dog", (0, 0, 8, 6), ("hen", (0, 0, 8, 6)), 0.8),
        ]
        with pytest.raises(DatasetError, match=r"expected classes of the data set \(cat, dog\), got fox, hen"):
            mend(found, data, copy)
        assert not copy.exists()
        assert mend(found, data, copy, new_classes="add").new_classes == ("fox", "hen")
        assert labels_of(copy)["b"] == [("hen", (0, 0, 8, 6)), ("fox", (10, 10, 20, 20))]
        assert set(open_dataset(copy).class_names) == {"cat", "dog", "fox", "hen"}
        if write is yolo_cvat:
            assert "classes = 4\n" in (copy / "obj.data").read_text()

    def test_names_in_a_yaml_file_are_left_to_the_user(self, tmp_path: Path) -> None:
        yolo_yaml(tmp_path / "data")
        found = finding("missing", "images/val/b.png", None, "fox", (10, 10, 20, 20), ("fox", (10, 10, 20, 20)), 0.9)
        with pytest.raises(DatasetError, match=r"expected the new classes fox in .*data\.yaml: add them there"):
            mend([found], tmp_path / "data", tmp_path / "copy", new_classes="add")


class TestWhatIsRefused:
    """Nothing is written where a finding does not fit the data."""

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        voc_one_folder(tmp_path / "data")
        return tmp_path / "data"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"image": "c.jpg"}, r"c\.jpg: expected an image of the data set"),
            ({"label_index": 2}, r"a\.jpg, label 2: expected one of 2 labels"),
            ({"label_index": -1}, r"a\.jpg, label -1: expected one of 2 labels"),
            (
                {"class_name": "dog"},
                r"label 0: expected dog \(4, 3, 12, 9\), got cat \(4, 3, 12, 9\): the data changed",
            ),
            ({"box_xyxy_px": (4, 3, 12, 10)}, r"expected cat \(4, 3, 12, 10\), got cat \(4, 3, 12, 9\)"),
            ({"suggestion": Suggestion("cat", (4, 3, 12, 9))}, r"expected another label than cat \(4, 3, 12, 9\)"),
            ({"suggestion": Suggestion("cat", (41, 3, 45, 9))}, "expected a suggested box in the image of 40x30"),
        ],
    )
    def test_a_finding_that_does_not_fit(
        self, tmp_path: Path, data: Path, changes: dict[str, object], message: str
    ) -> None:
        found = finding("class", "a.jpg", 0, "cat", (4, 3, 12, 9), ("dog", (4, 3, 12, 9)), 0.9)
        with pytest.raises(DatasetError, match=f"nothing was written: .*{message}"):
            mend([replace(found, **changes)], data, tmp_path / "copy")  # type: ignore[arg-type]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]

    def test_two_edits_of_one_label_and_an_object_added_twice(self, tmp_path: Path, data: Path) -> None:
        deleted = finding("spurious", "a.jpg", 0, "cat", (4, 3, 12, 9), None, 0.9)
        moved = finding("location", "a.jpg", 0, "cat", (4, 3, 12, 9), ("cat", (5, 3, 12, 9)), 0.8)
        added = finding("missing", "b.jpg", None, "cat", (20, 20, 30, 28), ("cat", (20, 20, 30, 28)), 0.7)
        message = r"a\.jpg, label 0: expected one accepted edit, got two; b\.jpg: expected each object once"
        with pytest.raises(DatasetError, match=message):
            mend([deleted, moved, added, added], data, tmp_path / "copy")

    def test_what_was_applied_already(self, tmp_path: Path, data: Path) -> None:
        added = finding("missing", "b.jpg", None, "cat", (20, 20, 30, 28), ("cat", (20, 20, 30, 28)), 0.7)
        mend([added], data, tmp_path / "copy")
        with pytest.raises(DatasetError, match=r"b\.jpg: expected an object without a label, got cat .* is labeled"):
            mend([added], tmp_path / "copy", tmp_path / "again")

    def test_no_findings(self, tmp_path: Path, data: Path) -> None:
        with pytest.raises(DatasetError, match="expected accepted findings, got none"):
            mend([], data, tmp_path / "copy")

    def test_an_output_that_exists_or_lies_in_the_data(self, tmp_path: Path, data: Path) -> None:
        found = edits_of(open_dataset(data), data)
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(data)
        for output, message in (
            (tmp_path / "there", "which exists already"),
            (data / "new", "outside the data set"),
            (tmp_path / "link/new", "outside the data set"),
        ):
            with pytest.raises(ConfigError, match=f"--output: .*{message}"):
                mend(found, data, output)

    def test_a_label_file_that_two_images_share(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        yolo_label_studio(data)
        write_image(data / "images/a.jpg")
        found = finding("spurious", "images/a.png", 0, "cat", (4, 3, 12, 9), None, 0.9)
        with pytest.raises(DatasetError, match="does another image share its label file"):
            mend([found], data, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


class TestLinks:
    """A copy shares nothing with the original that could be written through it."""

    def test_linked_folders_become_folders_and_labels_are_not_written_through_them(self, tmp_path: Path) -> None:
        pool, data, copy = tmp_path / "pool", tmp_path / "data", tmp_path / "copy"
        yolo_label_studio(pool)
        data.mkdir()
        for name in ("images", "labels", "classes.txt"):
            (data / name).symlink_to(pool / name)
        before = bytes_below(pool)
        mend(edits_of(open_dataset(data), data), data, copy)
        assert labels_of(copy) == MENDED
        assert bytes_below(pool) == before
        assert not any(path.is_symlink() for path in copy.rglob("*"))

    def test_links_inside_the_folder_lead_to_the_same_place_of_the_copy(self, tmp_path: Path) -> None:
        data, copy = tmp_path / "data", tmp_path / "copy"
        yolo_label_studio(data)
        (data / "again").symlink_to(data / "images")
        (data / "notes").symlink_to(tmp_path / "nowhere")
        mended = mend(edits_of(open_dataset(data), data), data, copy)
        assert (copy / "again").readlink() == Path("images")
        assert labels_of(copy) == MENDED
        assert mended.left_out == (str(data / "notes"),)

    def test_two_links_to_one_folder_outside_stay_one_folder(self, tmp_path: Path) -> None:
        pool, data, copy = tmp_path / "pool", tmp_path / "data", tmp_path / "copy"
        yolo_label_studio(pool)
        data.mkdir()
        (data / "set").symlink_to(pool)
        (data / "twin").symlink_to(pool)
        (pool / "round").symlink_to(pool)
        write_text(data / "classes.txt", "cat\ndog\n")
        mend(edits_of(open_dataset(data), data), data, copy)
        assert labels_of(copy) == MENDED
        assert (copy / "twin").readlink() == Path("set")

    def test_images_are_copied_or_hard_links(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        yolo_label_studio(data)
        found = edits_of(open_dataset(data), data)
        for mode, links in (("copy", 1), ("link", 2)):
            mend(found, data, tmp_path / mode, images="link" if mode == "link" else "copy")
            assert (tmp_path / mode / "images/a.png").stat().st_nlink == links
            assert (tmp_path / mode / "labels/a.txt").stat().st_nlink == 1
            assert (tmp_path / mode / "classes.txt").stat().st_nlink == 1

    def test_a_folder_named_by_its_absolute_path_is_the_copy_in_the_copy(self, tmp_path: Path) -> None:
        data, copy = tmp_path / "data", tmp_path / "copy"
        yolo_yaml(data)
        write_text(data / "data.yaml", f"path: {data}\ntrain: train.txt\nval: images/val\nnames: [cat, dog]\n")
        write_text(data / "train.txt", f"{data}/images/train/a.png\n")
        mended = mend(edits_of(open_dataset(data), data), data, copy)
        assert mended.repointed == ("data.yaml", "train.txt")
        assert (copy / "train.txt").read_text() == f"{copy}/images/train/a.png\n"
        assert all(image.path.is_relative_to(copy) for image in open_dataset(copy).images)
        assert labels_of(copy) == MENDED

    def test_files_outside_the_folder_are_refused(self, tmp_path: Path) -> None:
        elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
        yolo_yaml(elsewhere)
        write_text(data / "data.yaml", f"path: {elsewhere}\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n")
        before = bytes_below(elsewhere)
        with pytest.raises(DatasetError, match="expected label files inside"):
            mend(edits_of(open_dataset(data), data), data, tmp_path / "copy")
        assert bytes_below(elsewhere) == before
        assert not (tmp_path / "copy").exists()


class TestShapes:
    @pytest.mark.parametrize("write", [yolo_polygons, coco_segmentation])
    def test_a_moved_polygon_becomes_a_box_and_is_counted(
        self, tmp_path: Path, write: Callable[[Path], object]
    ) -> None:
        data = tmp_path / "data"
        write(data)
        assert mend(edits_of(open_dataset(data), data), data, tmp_path / "copy").shapes_lost == 1
        assert (
            sum(
                "2 polygons" in note or "one polygon" in note or "1 polygon" in note
                for note in open_dataset(tmp_path / "copy").notes
            )
            == 1
        )

    def test_a_suggestion_over_the_edge_ends_there_and_is_counted(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        voc_one_folder(data)
        found = finding("missing", "b.jpg", None, "cat", (30, 20, 44, 28), ("cat", (30, 20, 44, 28)), 0.9)
        assert mend([found], data, tmp_path / "copy").clipped == 1
        assert labels_of(tmp_path / "copy")["b"][-1] == ("cat", (30, 20, 40, 28))


def test_an_image_without_a_label_file_gets_one_where_others_have_theirs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for stem in ("a", "b"):
        write_image(data / "imgs" / f"{stem}.png")
    write_text(data / "annotations/a.txt", yolo_lines(BOXES["a"]))
    write_text(data / "classes.txt", "cat\ndog\n")
    found = finding("missing", "imgs/b.png", None, "cat", (1, 2, 5, 8), ("cat", (1, 2, 5, 8)), 0.6)
    assert mend([found], data, tmp_path / "copy").files == ("annotations/b.txt",)
    assert (tmp_path / "copy/annotations/b.txt").read_text() == "0 0.075 0.16666667 0.1 0.2\n"


def test_nothing_is_left_of_a_copy_that_fails(tmp_path: Path) -> None:
    data = tmp_path / "data"
    voc_one_folder(data)
    locked = tmp_path / "file"
    locked.write_text("")
    with pytest.raises(Exception, match="cannot write"):
        mend(edits_of(open_dataset(data), data), data, locked / "copy")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "file"}


def test_a_swap_of_classes_on_disk_is_seen(tmp_path: Path) -> None:
    """Decisions made on labels that have changed since are refused."""
    data = tmp_path / "data"
    voc_one_folder(data)
    found = edits_of(open_dataset(data), data)
    write_text(data / "a.xml", voc_xml(list(reversed(BOXES["a"]))))
    with pytest.raises(DatasetError, match="the data changed since"):
        mend(found, data, tmp_path / "copy")


def test_other_keys_of_a_coco_file_keep_their_bytes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = write_coco(data, info={"year": 2024, "note": "é"}, licenses=[])
    mend(edits_of(open_dataset(data), data), data, tmp_path / "copy")
    after = json.loads((tmp_path / "copy" / path.relative_to(data)).read_text())
    assert after["info"] == {"year": 2024, "note": "é"}
    assert list(after) == list(json.loads(path.read_text()))
