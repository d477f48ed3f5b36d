"""Names of images below a data set's folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.diagnostics.reports import open_pets
from yoloscope.training.diagnostics.image_names import (
    ImageFinder,
    data_folder,
    image_name,
    images_by_name,
    images_named,
)


def test_a_name_is_the_path_below_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    assert image_name(Path("set/images/a.jpg"), Path("set")) == "images/a.jpg"
    assert image_name(tmp_path / "set/labels/../images/a.jpg", Path("set")) == "images/a.jpg"
    assert image_name(tmp_path / "other/a.jpg", Path("set")) == "../other/a.jpg"


def test_links_are_followed_only_where_they_lead_into_the_folder(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "images").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    (real / "outside").symlink_to(tmp_path)
    assert image_name(real / "images/a.jpg", tmp_path / "link") == "images/a.jpg"
    assert image_name(tmp_path / "link/outside/b.jpg", tmp_path / "link") == "outside/b.jpg"


def test_the_folder_is_around_a_description(tmp_path: Path) -> None:
    for name in ("data.yaml", "annotations/instances.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert data_folder(tmp_path / name) == tmp_path
    assert data_folder(tmp_path) == tmp_path


def test_an_image_is_found_by_its_name_alone_or_in_a_folder(tmp_path: Path) -> None:
    images = open_pets(tmp_path).images
    assert set(images_by_name(images, tmp_path)) == {"images/a.png", "images/<b>&\"c'.png"}
    finder = ImageFinder(images)
    found = finder.find("images/a.png")
    assert found is not None
    assert found.path == tmp_path / "images/a.png"
    assert finder.find("images/b.png") is None


def test_of_several_images_the_one_nearest_to_the_root_is_meant(tmp_path: Path) -> None:
    (images,) = (image for image in open_pets(tmp_path).images if image.path.name == "a.png")
    deeper = replace(images, path=tmp_path / "x/images/a.png")
    assert ImageFinder([deeper, images]).find("images/a.png") is images
    assert ImageFinder([images, deeper]).find("images/a.png") is images


def test_names_below_a_folder_more_or_less_mean_the_same_images(tmp_path: Path) -> None:
    images = open_pets(tmp_path / "data" / "pets").images
    (wanted,) = (image for image in images if image.path.name == "a.png")
    for folder, name in (
        ("data/pets", "images/a.png"),
        ("data/pets", "pets/images/a.png"),
        ("data/pets", "data/pets/images/a.png"),
        ("data", "images/a.png"),
        (".", "images/a.png"),
    ):
        assert images_named([name], images, tmp_path / folder) == {name: wanted}


def test_names_are_not_guessed_where_one_is_not_there(tmp_path: Path) -> None:
    images = open_pets(tmp_path).images
    assert images_named(["pets/images/a.png", "pets/images/z.png"], images, tmp_path) == {}
    assert set(images_named(["images/a.png", "images/z.png"], images, tmp_path)) == {"images/a.png"}
