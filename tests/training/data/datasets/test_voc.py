from pathlib import Path

import pytest

from tests.training.data.datasets.folders import voc_xml, write_image, write_text, write_voc
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset


def test_classes_are_those_of_the_whole_folder_in_every_split(tmp_path: Path) -> None:
    write_voc(tmp_path)
    whole, test = open_dataset(tmp_path), open_dataset(tmp_path, "test")
    assert whole.class_names == test.class_names == ("cat", "dog")
    assert [image.path.name for image in whole.images] == ["a.jpg", "b.jpg"]
    assert [image.path.name for image in test.images] == ["b.jpg"]
    assert test.images[0].labels.class_ids.tolist() == [1]
    assert test.images[0].areas_px == (48.0,)
    assert test.images[0].label_path == tmp_path / "Annotations" / "b.xml"


def test_a_names_file_gives_the_order(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "classes.txt", "dog\ncat\n\n")
    assert open_dataset(tmp_path).class_names == ("dog", "cat")


def test_an_unknown_split_lists_those_there_are(tmp_path: Path) -> None:
    write_voc(tmp_path)
    with pytest.raises(DatasetError, match=r"expected one split 'val' .* got test, train"):
        open_dataset(tmp_path, "val")


def test_lists_per_class_leave_out_what_they_mark_as_without(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "ImageSets/Main/dog_train.txt", "a  1\nb -1\n")
    assert [image.path.name for image in open_dataset(tmp_path, "dog_train").images] == ["a.jpg"]


@pytest.mark.parametrize("row", ["my 1st pic", "my 1st pic.jpg", "my 1st pic  1", "my 1st pic.JPG\t1"])
def test_a_row_of_a_list_may_have_spaces_and_a_suffix(tmp_path: Path, row: str) -> None:
    write_voc(tmp_path)
    write_image(tmp_path / "JPEGImages/my 1st pic.jpg")
    write_text(tmp_path / "Annotations/my 1st pic.xml", voc_xml([("cat", (1, 1, 5, 5))]))
    write_text(tmp_path / "ImageSets/Main/train.txt", f"{row}\nb -1\n")
    dataset = open_dataset(tmp_path, "train")
    assert [image.path.name for image in dataset.images] == ["my 1st pic.jpg"]
    assert not dataset.problems


def test_a_name_that_ends_like_a_flag_is_a_name(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_image(tmp_path / "JPEGImages/pic -1.jpg")
    write_text(tmp_path / "Annotations/pic -1.xml", voc_xml([]))
    write_text(tmp_path / "ImageSets/Main/train.txt", "pic -1\n")
    assert [image.path.name for image in open_dataset(tmp_path, "train").images] == ["pic -1.jpg"]


def test_missing_and_broken_files_are_problems(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "ImageSets/Main/train.txt", "a\nb\nc\nd\n")
    write_text(tmp_path / "Annotations/a.xml", "<annotation><object>")
    write_image(tmp_path / "JPEGImages/c.jpg")
    write_text(tmp_path / "JPEGImages/b.jpg", "no image")
    dataset = open_dataset(tmp_path, "train")
    assert len(dataset) == 0
    assert [(problem.kind, problem.path.name) for problem in dataset.problems] == [
        ("unreadable_labels", "a.xml"),
        ("unreadable_image", "b.jpg"),
        ("missing_labels", "c.xml"),
        ("missing_image", "d.jpg"),
    ]


def test_boxes_are_in_the_frame_of_the_image_as_seen(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_image(tmp_path / "JPEGImages/a.jpg", (30, 40), orientation=6)
    image = open_dataset(tmp_path, "train").images[0]
    assert (image.width, image.height) == (40, 30)
    assert image.read().shape == (30, 40, 3)


def test_labels_of_another_image_size_are_a_problem(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "Annotations/a.xml", voc_xml([("cat", (1, 1, 5, 5))], (400, 300)))
    assert [problem.pointer for problem in open_dataset(tmp_path).problems] == ["/annotation/size"]


def test_bccd(data_dir: Path) -> None:
    sizes = {split: len(open_dataset(data_dir / "bccd", split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 205, "val": 87, "test": 72}
    whole = open_dataset(data_dir / "bccd")
    assert dict(zip(whole.class_names, whole.objects_per_class, strict=True)) == {
        "Platelets": 361,
        "RBC": 4155,
        "WBC": 372,
    }


def test_lists_of_several_years_and_of_an_inner_folder_are_found(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOCdevkit/VOC2007")
    for stem in ("c", "d"):
        write_image(tmp_path / "VOCdevkit/VOC2012/JPEGImages" / f"{stem}.jpg")
        write_text(tmp_path / "VOCdevkit/VOC2012/Annotations" / f"{stem}.xml", voc_xml([("cat", (1, 1, 5, 5))]))
    write_text(tmp_path / "VOCdevkit/VOC2012/ImageSets/Main/train.txt", "d\n")
    write_text(tmp_path / "README.md", "both years")
    dataset = open_dataset(tmp_path, "train")
    assert [image.path.name for image in dataset.images] == ["a.jpg", "d.jpg"]
    assert len(open_dataset(tmp_path)) == 4


def test_images_without_an_annotation_file_are_noted(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_image(tmp_path / "JPEGImages/c.jpg")
    write_image(tmp_path / "SegmentationClass/a.png")
    dataset = open_dataset(tmp_path)
    assert [image.path for image in dataset.images] == [tmp_path / f"JPEGImages/{stem}.jpg" for stem in "ab"]
    assert dataset.notes == (f"one image has no annotation file, such as {tmp_path / 'JPEGImages/c.jpg'}: left out",)
    assert not open_dataset(tmp_path, "train").notes


def test_an_empty_xml_file_beside_annotations_is_a_problem(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "Annotations/a.xml", "")
    write_text(tmp_path / "other/settings.xml", "<settings/>")
    assert [(problem.kind, problem.path.name) for problem in open_dataset(tmp_path).problems] == [
        ("unreadable_labels", "a.xml")
    ]
