"""A held-out part: disjoint, complete, exactly the share, and the same wherever the data set lies."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.runs import write_shapes
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.splits import split_holdout


def names_held(folder: Path, share: float, seed: int = 0) -> tuple[list[str], list[str]]:
    rest, held = split_holdout(open_dataset(folder, "train"), share, seed)
    return [image.path.name for image in rest.images], [image.path.name for image in held.images]


def test_each_image_is_in_one_part_and_the_share_is_met_exactly(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "a", train=200, side=16)
    for share, count in ((0.2, 40), (0.25, 50), (0.123, 25)):
        rest, held = names_held(folder, share)
        assert sorted(rest + held) == sorted(f"{number}.jpg" for number in range(200))
        assert len(held) == count


def test_it_follows_from_the_seed(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "a", train=40, side=16)
    parts = [names_held(folder, 0.25, seed) for seed in (0, 1, 2, 1)]
    assert parts[1] == parts[3]
    assert len({tuple(held) for _, held in parts}) == 3
    assert [len(held) for _, held in parts] == [10] * 4


def test_images_added_change_no_order_among_the_others(tmp_path: Path) -> None:
    """An image moves in one direction alone, as the share is exact: 12 of 40, 18 of 60."""
    folder = write_shapes(tmp_path / "a", train=40, side=16)
    rest, held = names_held(folder, 0.3)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert names_held(moved, 0.3) == (rest, held)
    for number in range(40, 60):
        shutil.copy(moved / "images" / "train" / "0.jpg", moved / "images" / "train" / f"{number}.jpg")
    new_rest, new_held = names_held(moved, 0.3)
    assert (len(held), len(new_held)) == (12, 18)
    assert set(held) <= set(new_held) or set(rest) <= set(new_rest)


def test_images_of_one_name_in_two_folders_count_as_two(tmp_path: Path) -> None:
    dataset = open_dataset(write_shapes(tmp_path / "a", train=10, side=16), "train")
    twice = replace(
        dataset,
        images=(*dataset.images, *(replace(one, path=Path("other") / one.path.name) for one in dataset.images)),
    )
    rest, held = split_holdout(twice, 0.35)
    assert (len(rest), len(held)) == (13, 7)


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_few_images_leave_one_in_each_part(tmp_path: Path, share: float) -> None:
    rest, held = names_held(write_shapes(tmp_path / "a", train=3, side=16), share)
    assert sorted((len(rest), len(held))) == [1, 2]


def test_one_image_cannot_be_shared_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected two images or more in .*, got 1"):
        names_held(write_shapes(tmp_path / "a", train=1, side=16), 0.5)
