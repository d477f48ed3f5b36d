r"""Paths written on another machine: ``C:\data\images\p0.jpg``, a Colab mount, a folder that has another name here."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.datasets.folders import coco_document, voc_xml, write_image, write_text, write_yolo
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.datasets.paths import PathFinder, find_images


def _tree(root: Path, *names: str) -> PathFinder:
    for name in names:
        write_text(root / name, "")
    return PathFinder(root)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("images/p0.jpg", "images/p0.jpg"),
        ("./images/p0.jpg", "images/p0.jpg"),
        ("../images/p0.jpg", "images/p0.jpg"),
        ("images\\p0.jpg", "images/p0.jpg"),
        ("C:\\data\\images\\p0.jpg", "images/p0.jpg"),
        ("C:/data/images/p0.jpg", "images/p0.jpg"),
        ("D:p0.jpg", "images/p0.jpg"),
        ("\\\\server\\share\\set\\images\\p0.jpg", "images/p0.jpg"),
        ("/content/drive/MyDrive/set/images/p0.jpg", "images/p0.jpg"),
        ("data/images/p0.jpg", "images/p0.jpg"),
        ("/kaggle/input/set/other/p1.jpg", "inner/other/p1.jpg"),
        ("/elsewhere/p1.jpg", "inner/other/p1.jpg"),
    ],
)
def test_a_path_is_found_as_written_or_by_its_last_components(tmp_path: Path, text: str, found: str) -> None:
    finder = _tree(tmp_path / "set", "images/p0.jpg", "inner/other/p1.jpg", "inner/other/p2.jpg")
    assert finder.find(text) == tmp_path / "set" / found


@pytest.mark.parametrize("text", ["C:\\x\\p.jpg", "/x/y/p.jpg", "x/p.jpg"])
def test_several_files_that_end_alike_are_not_chosen_from(tmp_path: Path, text: str) -> None:
    finder = _tree(tmp_path, "a/p.jpg", "b/p.jpg")
    assert not finder.find(text).exists()
    assert finder.note(tmp_path) == ()


def test_the_longest_common_end_wins(tmp_path: Path) -> None:
    finder = _tree(tmp_path, "a/images/p.jpg", "b/images/p.jpg", "p.jpg")
    assert finder.find("C:\\data\\a\\images\\p.jpg") == tmp_path / "a/images/p.jpg"


def test_an_image_of_another_split_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    finder = _tree(tmp_path, "val/0001.jpg")
    assert not finder.find("C:\\data\\train\\0001.jpg").exists()
    assert finder.find("C:\\data\\valid\\0001.jpg") == tmp_path / "val/0001.jpg"


def test_a_plain_name_is_looked_for_in_its_place_alone(tmp_path: Path) -> None:
    assert not _tree(tmp_path, "images/p.jpg").find("p.jpg").exists()


def test_the_note_counts_each_path_once_and_gives_an_example(tmp_path: Path) -> None:
    finder = _tree(tmp_path, "images/p0.jpg", "images/p1.jpg")
    for name in ("p0", "p1", "p0"):
        finder.find(f"C:\\data\\images\\{name}.jpg")
    source = tmp_path / "train.txt"
    found = f"found by the last components: {tmp_path / 'images/p0.jpg'}"
    written = "C:\\data\\images\\p0.jpg"
    assert finder.note(source) == (f"{source} has 2 paths of another machine, such as {written}; {found}",)


WINDOWS = "C:\\Users\\me\\pets\\images\\"


def test_windows_paths_in_a_list_of_images(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "train.txt", f"{WINDOWS}train\\a.png\r\n{WINDOWS}val\\b.png\r\n")
    write_text(tmp_path / "data.yaml", "train: C:\\Users\\me\\pets\\train.txt\nnames: [cat, dog]\n")
    dataset = open_dataset(tmp_path)
    assert [image.path for image in dataset.images] == [tmp_path / "images/train/a.png", tmp_path / "images/val/b.png"]
    assert [len(image.labels) for image in dataset.images] == [2, 1]
    assert len(dataset.notes) == 1
    assert "3 paths of another machine" in dataset.notes[0]


def test_a_windows_folder_in_data_yaml_is_the_one_that_holds_images(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", f"train: {WINDOWS}train\nval: '{WINDOWS}val'\nnames: [cat, dog]\n")
    assert [image.path.name for image in open_dataset(tmp_path, "val").images] == ["b.png"]


@pytest.mark.parametrize("prefix", [WINDOWS, "/content/drive/MyDrive/pets/images/", "images\\"])
def test_file_names_in_coco(tmp_path: Path, prefix: str) -> None:
    document = coco_document()
    for entry in document["images"]:
        entry["file_name"] = prefix + entry["file_name"]
        write_image(tmp_path / "images" / entry["file_name"][-5:])
    write_text(tmp_path / "labels.json", json.dumps(document))
    dataset = open_dataset(tmp_path)
    assert [image.path for image in dataset.images] == [tmp_path / "images/a.png", tmp_path / "images/b.png"]
    assert len(dataset.notes) == (0 if prefix == "images\\" else 1)


def test_the_path_in_voc_xml_does_not_matter(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg")
    text = voc_xml([("cat", (4, 3, 12, 9))]).replace("<size>", f"<path>{WINDOWS}a.jpg</path><size>", 1)
    write_text(tmp_path / "annotations/a.xml", text)
    assert open_dataset(tmp_path).images[0].path == tmp_path / "images/a.jpg"


def test_rows_of_a_voc_list_may_be_paths(tmp_path: Path) -> None:
    for stem in ("a", "b"):
        write_image(tmp_path / "images" / f"{stem}.jpg")
        write_text(tmp_path / "annotations" / f"{stem}.xml", voc_xml([("cat", (4, 3, 12, 9))]))
    write_text(tmp_path / "train.txt", f"{WINDOWS}a.jpg\r\n")
    assert [image.path.stem for image in open_dataset(tmp_path, "train").images] == ["a"]


def test_a_path_that_is_nowhere_is_named_as_it_is_written(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "train.txt", f"images/train/a.png\n{WINDOWS}c.png\n")
    write_text(tmp_path / "data.yaml", "train: train.txt\nnames: [cat, dog]\n")
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.kind, str(problem.path)) == ("missing_image", f"{WINDOWS}c.png")


@pytest.mark.parametrize("text", ["/etc/hostname", "../../../etc/hostname", "C:\\nowhere\\x.png"])
def test_nothing_is_found_outside_the_folder(tmp_path: Path, text: str) -> None:
    write_yolo(tmp_path / "set")
    (tmp_path / "set/images/train/link").symlink_to(tmp_path)
    write_image(tmp_path / "x.png")
    write_text(tmp_path / "set/train.txt", f"{text}\n")
    write_text(tmp_path / "set/data.yaml", "train: train.txt\nnames: [cat, dog]\n")
    with pytest.raises(DatasetError, match="expected files inside the data set alone"):
        open_dataset(tmp_path / "set", within=tmp_path / "set")


def test_images_are_found_at_any_depth_in_the_order_of_their_paths(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / name) for name in ("b.PNG", "a/z.jpg", "a/b.jpeg")]
    (tmp_path / "a" / "notes.txt").write_text("")
    assert find_images(tmp_path) == (paths[2], paths[1], paths[0])


def test_copies_that_systems_leave_are_no_images(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg")
    for name in (
        "._a.jpg",
        "__MACOSX/._a.jpg",
        "__MACOSX/a.jpg",
        ".ipynb_checkpoints/a-checkpoint.jpg",
        "@eaDir/a.jpg",
    ):
        write_text(tmp_path / name, "")
    assert find_images(tmp_path) == (path,)


def test_linked_folders_are_looked_through_once(tmp_path: Path) -> None:
    write_image(tmp_path / "store/a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/images").symlink_to(tmp_path / "store")
    (tmp_path / "set/more").symlink_to(tmp_path / "store")
    (tmp_path / "set/round").symlink_to(tmp_path / "set")
    assert find_images(tmp_path / "set") == (tmp_path / "set/images/a.jpg",)


@given(st.text(st.sampled_from("aC:/\\.~ \0é\n"), max_size=30) | st.text(max_size=20))
def test_any_text_is_a_path_inside_or_refused(text: str) -> None:
    folder = Path(__file__).parent
    try:
        found = PathFinder(folder, within=folder).find(text)
    except DatasetError:
        return
    assert found.resolve().is_relative_to(folder)


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "data:image/png;base64,iVBORw0KGgo/" + "A/" * 3000, "a\0.png"])
def test_names_that_no_file_can_have_are_missing_images(tmp_path: Path, name: str) -> None:
    document = coco_document()
    document["images"][1]["file_name"] = name
    write_image(tmp_path / "a.png")
    write_text(tmp_path / "labels.json", json.dumps(document))
    assert [problem.kind for problem in open_dataset(tmp_path).problems] == ["missing_image"]
    with pytest.raises(DatasetError, match="one file or label of the data set"):
        open_dataset(tmp_path).require_sound()
