"""Photos with an EXIF orientation: labels drawn on the stored pixels are noticed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import SIZE, voc_xml, write_image, write_text
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset

Write = Callable[[Path, int, tuple[int, int]], None]
UPRIGHT = (30, 40)
"""Size as seen of a photo of 40x30 stored pixels with orientation 5 to 8."""


def voc(root: Path, orientation: int, stated: tuple[int, int]) -> None:
    write_image(root / "images/a.jpg", SIZE, orientation)
    write_text(root / "annotations/a.xml", voc_xml([("cat", (4, 3, 12, 9))], stated))


def coco(root: Path, orientation: int, stated: tuple[int, int]) -> None:
    write_image(root / "images/a.jpg", SIZE, orientation)
    image = {"id": 1, "file_name": "a.jpg", "width": stated[0], "height": stated[1]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 3, 8, 6]}
    document = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
    write_text(root / "labels.json", json.dumps(document))


def yolo(root: Path, orientation: int) -> None:
    write_image(root / "images/a.jpg", SIZE, orientation)
    write_text(root / "labels/a.txt", "0 .5 .5 .5 .5\n")
    write_text(root / "classes.txt", "cat\n")


@pytest.mark.parametrize("write", [voc, coco])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_in_the_stored_frame_are_a_problem_and_their_image_is_left_out(
    tmp_path: Path, write: Write, orientation: int
) -> None:
    write(tmp_path, orientation, SIZE)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 0
    (problem,) = dataset.problems
    assert problem.kind == "image_size"
    assert "a.jpg: expected labels of an image of 30x40 pixels as it is seen, got 40x30; the sides are swapped" in str(
        problem
    )
    with pytest.raises(DatasetError, match="remove the orientation from the image file, or label the image upright"):
        dataset.require_sound()


@pytest.mark.parametrize("write", [voc, coco])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_of_the_upright_image_are_right(tmp_path: Path, write: Write, orientation: int) -> None:
    write(tmp_path, orientation, UPRIGHT)
    dataset = open_dataset(tmp_path)
    assert dataset.images[0].labels.boxes_xyxy_px.tolist() == [[4, 3, 12, 9]]
    assert dataset.images[0].read().shape == (40, 30, 3)
    assert not dataset.problems
    assert not dataset.notes


@pytest.mark.parametrize("write", [voc, coco])
@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_photo_upside_down_is_noted_as_its_size_says_nothing(tmp_path: Path, write: Write, orientation: int) -> None:
    write(tmp_path, orientation, SIZE)
    dataset = open_dataset(tmp_path)
    (note,) = dataset.notes
    assert note.startswith("one photo in ")
    assert "a.jpg: their boxes are taken as drawn on the upright image" in note


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_with_yolo_text_is_noted(tmp_path: Path, orientation: int) -> None:
    yolo(tmp_path, orientation)
    dataset = open_dataset(tmp_path)
    assert len(dataset.notes) == (0 if orientation == 1 else 1)
    expected = [10, 7.5, 30, 22.5] if orientation < 5 else [7.5, 10, 22.5, 30]
    assert dataset.images[0].labels.boxes_xyxy_px.tolist() == [expected]
    assert not dataset.problems


def test_all_turned_photos_are_one_note(tmp_path: Path) -> None:
    yolo(tmp_path, 6)
    write_image(tmp_path / "images/b.jpg", SIZE, 3)
    write_text(tmp_path / "labels/b.txt", "0 .5 .5 .5 .5 .9\n")
    notes = open_dataset(tmp_path).notes
    assert [note.split(":")[0] for note in notes] == [
        f"1 box with a score in {tmp_path}",
        f"2 photos in {tmp_path} turned by EXIF orientation, such as {tmp_path / 'images/a.jpg'}",
    ]
