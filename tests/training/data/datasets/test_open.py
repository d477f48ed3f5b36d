from pathlib import Path

import pytest

from tests.training.data.datasets.folders import write_coco, write_text, write_voc, write_yolo
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "got no file or folder"), ("empty", "a data.yaml with names.* got an empty folder"), ("a.zip", "unpack")],
)
def test_what_is_no_data_set_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "a.zip", "")
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path / name)


def test_what_was_found_instead_is_listed(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    with pytest.raises(DatasetError, match=r"classes\.txt or a \.names file in .*, got images/, labels/"):
        open_dataset(tmp_path)


def test_two_descriptions_must_be_chosen_from(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_coco(tmp_path, "labels.json")
    with pytest.raises(DatasetError, match=r"got labels\.json, Annotations/: pass the one to use"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path / "labels.json").layout == "coco"
    assert open_dataset(tmp_path / "Annotations").layout == "voc"


def test_a_lone_folder_is_entered(tmp_path: Path) -> None:
    write_voc(tmp_path / "export" / "VOC2012")
    (tmp_path / "__MACOSX").mkdir()
    assert open_dataset(tmp_path).source == tmp_path / "export" / "VOC2012"


def test_classes_go_to_a_model_by_name(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_dataset(tmp_path).for_model(("Dog", "bird", "cat"))
    assert dataset.class_names == ("Dog", "bird", "cat")
    assert dataset.images[0].labels.class_ids.tolist() == [2, 0]
    assert dataset.category_ids[0] == 9
    assert dataset.category_ids[2] == 3
    assert len(set(dataset.category_ids)) == 3
    assert dataset.objects_per_class == (2, 0, 1)


def test_every_class_a_model_lacks_is_listed(tmp_path: Path) -> None:
    write_coco(tmp_path)
    with pytest.raises(DatasetError, match="one without cat, dog; it knows bird"):
        open_dataset(tmp_path).for_model(("bird",))


def test_a_class_without_objects_need_not_be_the_models(tmp_path: Path) -> None:
    write_coco(tmp_path, annotations=[])
    assert open_dataset(tmp_path).for_model(("bird",)).class_names == ("bird",)


def test_a_coco_file_describes_its_folder_before_text_labels_side_by_side(tmp_path: Path) -> None:
    write_coco(tmp_path, "labels.json")
    for name in ("a.png", "b.png"):
        (tmp_path / "val2017" / name).rename(tmp_path / name)
        write_text(tmp_path / f"{name[0]}.txt", "0 .5 .5 .5 .5\n")
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    assert open_dataset(tmp_path).layout == "coco"


def test_labels_without_class_names_say_what_to_add(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    with pytest.raises(DatasetError, match=r"labels/train/a\.txt, need class names: add classes\.txt with a name for"):
        open_dataset(tmp_path)


def test_labels_and_images_alone_say_what_to_pass(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    with pytest.raises(DatasetError, match="and no images: pass the folder that holds images and labels, or the desc"):
        open_dataset(tmp_path / "labels")
    with pytest.raises(DatasetError, match="there are images and no labels: pass the folder"):
        open_dataset(tmp_path / "images")


def test_the_folder_of_the_xml_files_stands_for_the_one_around_it(tmp_path: Path) -> None:
    write_voc(tmp_path)
    dataset = open_dataset(tmp_path / "Annotations", "train")
    assert [image.path for image in dataset.images] == [tmp_path / "JPEGImages" / "a.jpg"]
    assert not dataset.problems


@pytest.mark.parametrize(
    "text",
    [
        '{"train": "images/train", "val": "images/val", "names": ["cat", "dog"]}',
        "train: images/train\nval: images/val\nnames : [cat, dog]\n",
        "train: images/train\nval: images/val\n'names':\n  0: cat\n  1: dog\n",
        "  train: images/train\n  val: images/val\n  names:\n  - cat\n  - dog\n",
    ],
)
def test_a_description_is_known_by_its_key_however_it_is_written(tmp_path: Path, text: str) -> None:
    write_text(write_yolo(tmp_path) / "data.yaml", text)
    write_text(tmp_path / "hyp.yaml", "lr: .1\naugment:\n  names: [mosaic]\n")
    assert open_dataset(tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize("names", ["[cat, dog", "[" * 20_000], ids=["open", "deep"])
def test_a_description_that_cannot_be_parsed_is_named(tmp_path: Path, names: str) -> None:
    write_text(write_yolo(tmp_path) / "data.yaml", f"train: images/train\nnames: {names}\n")
    with pytest.raises(DatasetError, match=r"expected a YAML file at .*data\.yaml"):
        open_dataset(tmp_path)


def test_notes_may_lie_beside_the_only_folder(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "pets")
    write_text(root / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for name in ("README.md", "Thumbs.db", "LICENSE.txt"):
        write_text(tmp_path / name, "pets")
    assert open_dataset(tmp_path).source == root / "data.yaml"
