import json
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import coco_document, write_coco, write_image, write_text
from yoloscope.models.errors import DatasetError, ImageDecodeError
from yoloscope.training.data.datasets import open_dataset


def test_classes_are_the_categories_by_id_and_ids_areas_and_crowds_are_kept(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.split) == ("coco", "val2017")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.category_ids == (3, 9)
    assert [image.image_id for image in dataset.images] == [70, 5]
    first = dataset.images[0]
    assert first.path == tmp_path / "val2017" / "a.png"
    assert first.labels.boxes_xyxy_px.tolist() == [[4, 3, 12, 9], [20, 15, 40, 30]]
    assert first.labels.class_ids.tolist() == [0, 1]
    assert first.areas_px == (31.5, 300.0)
    assert [label.crowd for label in first.labels.objects] == [False, True]
    assert first.read().shape == (30, 40, 3)
    assert dataset.objects_per_class == (1, 2)


@pytest.mark.parametrize("split", ["val", "valid", "val2017", "Validation"])
def test_a_split_goes_by_the_name_of_its_file(tmp_path: Path, split: str) -> None:
    write_coco(tmp_path)
    write_coco(tmp_path, "annotations/instances_train2017.json", annotations=[])
    write_text(tmp_path / "annotations/captions_val2017.json", json.dumps({"images": [], "annotations": []}))
    assert len(open_dataset(tmp_path, split).images[0].labels) == 2


def test_several_files_must_be_chosen_from(tmp_path: Path) -> None:
    write_coco(tmp_path)
    write_coco(tmp_path, "annotations/instances_train2017.json")
    with pytest.raises(DatasetError, match="train2017, val2017; got none"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"expected one split 'test' .* got train2017, val2017"):
        open_dataset(tmp_path, "test")


def test_a_file_beside_its_images_in_the_folder_of_each_split(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "valid" / f"{name}.png")
    write_text(tmp_path / "valid" / "_annotations.coco.json", json.dumps(coco_document()))
    write_text(tmp_path / "train" / "_annotations.coco.json", json.dumps(coco_document()))
    assert open_dataset(tmp_path, "val").images[0].path == tmp_path / "valid" / "a.png"


def test_a_missing_image_is_a_problem_and_no_image(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "val2017" / "b.png").unlink()
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert [(problem.kind, problem.path.name) for problem in dataset.problems] == [("missing_image", "b.png")]
    with pytest.raises(DatasetError, match=r"one file or label .*b\.png: expected an image, got no file"):
        dataset.require_sound()


def test_images_nowhere_near_say_where_was_looked(tmp_path: Path) -> None:
    path = write_text(tmp_path / "labels.json", json.dumps(coco_document()))
    with pytest.raises(DatasetError, match=r"such as a\.png, in one of .*images"):
        open_dataset(path)


def test_an_image_of_another_size_than_stated_is_a_problem_and_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path)
    write_image(tmp_path / "val2017" / "a.png", (40, 31))
    dataset = open_dataset(tmp_path)
    assert [image.path.name for image in dataset.images] == ["b.png"]
    (problem,) = dataset.problems
    assert (problem.kind, problem.pointer) == ("image_size", "/images/0")
    assert problem.image == tmp_path / "val2017" / "a.png"
    assert problem.detail == "a.png: expected labels of an image of 40x31 pixels as it is seen, got 40x30"


def test_an_image_that_changes_its_size_later_is_refused_when_read(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_dataset(tmp_path)
    write_image(tmp_path / "val2017" / "a.png", (30, 40))
    with pytest.raises(
        DatasetError, match=r"a\.png: expected labels of an image of 30x40 .* got 40x30; the sides are swapped, .* EXIF"
    ):
        dataset.images[0].read()


def test_an_image_cut_off_is_named_when_read(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_dataset(tmp_path)
    path = tmp_path / "val2017" / "a.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageDecodeError, match=r"a\.png"):
        dataset.images[0].read()


def test_an_annotation_of_no_category_is_a_problem_with_its_pointer(tmp_path: Path) -> None:
    annotations = [{"id": 1, "image_id": 5, "category_id": 77, "bbox": [0, 0, 1, 1]}]
    write_coco(tmp_path, annotations=annotations)
    problems = open_dataset(tmp_path).problems
    assert [(problem.kind, problem.pointer) for problem in problems] == [
        ("unreadable_label", "/annotations/0/category_id")
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match=r"labels\.json"):
        open_dataset(write_text(tmp_path / "labels.json", text))


def test_coco128(data_dir: Path) -> None:
    dataset = open_dataset(data_dir / "coco128")
    crowds = sum(label.crowd for image in dataset.images for label in image.labels.objects)
    assert (len(dataset), sum(dataset.objects_per_class), crowds) == (128, 939, 10)
    assert len(dataset.class_names) == 80
    assert dataset.category_ids[-1] == 90
    assert not dataset.problems


@pytest.mark.parametrize("image_id", ["70", 71])
def test_an_annotation_of_no_image_is_a_problem_with_its_pointer(tmp_path: Path, image_id: object) -> None:
    annotations = [{"id": 1, "image_id": image_id, "category_id": 9, "bbox": [0, 0, 1, 1]}]
    write_coco(tmp_path, annotations=annotations)
    dataset = open_dataset(tmp_path)
    assert [(problem.kind, problem.pointer) for problem in dataset.problems] == [
        ("unreadable_label", "/annotations/0/image_id")
    ]
    with pytest.raises(DatasetError, match=f"expected the id of one of the file's images, got {image_id!r}"):
        dataset.require_sound()


def test_images_of_one_id_are_problems_and_get_no_boxes(tmp_path: Path) -> None:
    images = [{"id": 5, "file_name": name, "width": 40, "height": 30} for name in ("a.png", "b.png")]
    annotations = [{"id": 2, "image_id": 5, "category_id": 9, "bbox": [0, 0, 8, 6]}]
    write_coco(tmp_path, images=images, annotations=annotations)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 0
    assert [(problem.kind, problem.pointer) for problem in dataset.problems] == [
        ("unreadable_labels", "/images/0/id"),
        ("unreadable_labels", "/images/1/id"),
    ]


def test_an_unused_category_of_a_class_s_name_does_not_count(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]
    write_coco(tmp_path, categories=categories)
    dataset = open_dataset(tmp_path)
    assert (dataset.class_names, dataset.category_ids) == (("cat", "dog"), (3, 9))
    assert dataset.objects_per_class == (1, 2)


def test_two_used_categories_of_one_name_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, categories=[{"id": 3, "name": "dog"}, {"id": 9, "name": "dog"}])
    with pytest.raises(DatasetError, match="each class name once"):
        open_dataset(tmp_path)


def test_no_word_on_crowds_is_no_crowd(tmp_path: Path) -> None:
    annotations = [{"id": 1, "image_id": 70, "category_id": 9, "bbox": [0, 0, 8, 6], "iscrowd": None}]
    write_coco(tmp_path, annotations=annotations)
    dataset = open_dataset(tmp_path)
    assert not dataset.problems
    assert not dataset.images[0].labels.objects[0].crowd


def test_a_data_set_inside_a_hidden_folder_is_found_and_a_hidden_one_inside_it_is_not(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "pets"
    path = write_coco(folder)
    write_coco(folder / ".old")
    assert open_dataset(folder).source == path
