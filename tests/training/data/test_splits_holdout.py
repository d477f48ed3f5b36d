"""A held-out part: disjoint, complete, and the same whatever else the data set holds."""

import shutil
from pathlib import Path

import pytest

from tests.training.runs import write_shapes
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.splits import split_holdout


def names_held(folder: Path, share: float) -> tuple[list[str], list[str]]:
    rest, held = split_holdout(open_dataset(folder, "train"), share)
    return [image.path.name for image in rest.images], [image.path.name for image in held.images]


def test_each_image_is_in_one_part_and_the_share_is_met_on_average(tmp_path: Path) -> None:
    rest, held = names_held(write_shapes(tmp_path / "a", train=200, side=16), 0.25)
    assert sorted(rest + held) == sorted(f"{number}.jpg" for number in range(200))
    assert 35 <= len(held) <= 65


def test_images_added_move_no_other(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "a", train=40, side=16)
    rest, held = names_held(folder, 0.3)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    for number in range(40, 60):
        shutil.copy(moved / "images" / "train" / "0.jpg", moved / "images" / "train" / f"{number}.jpg")
    new_rest, new_held = names_held(moved, 0.3)
    assert set(held) < set(new_held)
    assert set(rest) < set(new_rest)


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_few_images_leave_one_in_each_part(tmp_path: Path, share: float) -> None:
    rest, held = names_held(write_shapes(tmp_path / "a", train=3, side=16), share)
    assert sorted((len(rest), len(held))) == [1, 2]


def test_one_image_cannot_be_shared_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two names or more"):
        names_held(write_shapes(tmp_path / "a", train=1, side=16), 0.5)
