"""Both splits are looked through before the first step, and val need not lie on the disk."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.datasets.test_open_splits import UNDIVIDED
from tests.training.runs import Configure, log_lines
from tests.training.test_train_wrong_data import cut_off
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.splits import choose_splits, open_splits, open_train
from yoloscope.training.train import train

pytestmark = pytest.mark.usefixtures("no_export")


def with_val(configure: Configure, **data: object) -> TrainingConfig:
    return configure(data={"val": "val", **data})


def as_coco(folder: Path, split: str, width: int) -> Path:
    """Describe a split anew as COCO, whose first image is said to be ``width`` across."""
    images = [
        {"id": number, "file_name": path.name, "width": 64 if number else width, "height": 64}
        for number, path in enumerate(sorted((folder / "images" / split).iterdir()))
    ]
    objects = [{"id": one["id"], "image_id": one["id"], "category_id": 1, "bbox": [8, 8, 20, 20]} for one in images]
    path = folder / "images" / split / "_annotations.coco.json"
    document = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "square"}]}
    path.write_text(json.dumps(document))
    return path


def test_bad_labels_of_val_are_announced_and_the_run_goes_on(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    (own_shapes / "labels" / "val" / "0.txt").write_text("0 0.05 0.5 0.4 0.4\n77 0.5 0.5 0.2 0.2\n")
    with log_lines() as told:
        result = train(with_val(configure), own_shapes, tmp_path / "run")
    assert result.best is not None
    for kind in ("unknown_class", "out_of_bounds"):
        assert any(re.match(rf"label check: .*val/0\.txt.*: {kind}: ", line) for line in told)


def test_an_image_of_val_cut_off_stops_before_the_first_step(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    cut_off(own_shapes / "images" / "val" / "1.jpg")
    with pytest.raises(DatasetError, match=r"val/1\.jpg, got: .*; set data\.on_bad_image to skip"):
        train(with_val(configure), own_shapes, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_image_of_val_cut_off_is_left_out_where_that_is_wanted(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    cut_off(own_shapes / "images" / "val" / "1.jpg")
    config = with_val(configure, on_bad_image="skip")
    with log_lines() as told:
        result = train(config, own_shapes, tmp_path / "run")
    assert result.best is not None
    assert sum(line.startswith("left out of validation: ") and "1.jpg" in line for line in told) == 1


def test_a_known_bad_image_of_train_stops_before_the_first_step(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    path = as_coco(own_shapes, "train", width=65)
    with pytest.raises(
        DatasetError, match=r"0\.jpg: expected labels of an image of 64x64 pixels .*, got 65x64; set data\.on_bad_image"
    ):
        train(configure(data={"train": None}), path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    config = configure(data={"train": None, "on_bad_image": "skip"})
    assert train(config, path, tmp_path / "run").step == 1


def test_many_findings_are_listed_in_a_file(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    (own_shapes / "labels" / "train" / "0.txt").write_text("77 0.5 0.5 0.2 0.2\n" * 25)
    with log_lines() as told:
        train(configure(), own_shapes, tmp_path / "run")
    listing = tmp_path / "run" / "label-findings.txt"
    assert f"label check: 5 more findings; all 25 are in {listing}" in told
    assert len(listing.read_text().splitlines()) == 25


def test_a_share_of_train_is_held_out(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    (own_shapes / "data.yaml").write_text("train: images/train\nnames: [square, disc]\n")
    config = configure(data={"val": 0.5})
    with log_lines() as told:
        splits = open_splits(config, own_shapes)
    assert splits.val is not None
    train_paths, val_paths = ({image.path for image in part.images} for part in (splits.train, splits.val))
    assert train_paths.isdisjoint(val_paths)
    assert len(train_paths | val_paths) == 6
    assert told == ["data.val 0.5: 3 of 6 images of train are held out to validate on"]
    assert len(val_paths) == 3
    assert {image.path for image in open_train(config, own_shapes).images} == train_paths
    assert train(config, own_shapes, tmp_path / "run").best is not None


def test_a_share_of_train_is_held_out_where_there_is_no_val(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    (own_shapes / "data.yaml").write_text("train: images/train\nnames: [square, disc]\n")
    config = with_val(configure)
    with log_lines() as told:
        splits = open_splits(config, own_shapes)
    assert told == ["data.val 0.2: 1 of 6 images of train are held out to validate on; there is no split 'val'"]
    assert splits.val is not None
    assert (len(splits.train), len(splits.val)) == (5, 1)
    assert open_train(config, own_shapes).images == splits.train.images
    assert train(config, own_shapes, tmp_path / "run").best is not None


def test_another_split_that_is_asked_for_must_be_there(own_shapes: Path, configure: Configure) -> None:
    (own_shapes / "data.yaml").write_text("train: images/train\nnames: [square, disc]\n")
    config = configure(data={"val": "night"})
    with pytest.raises(
        DatasetError, match=r"'night'.*got train; data\.val .* share of train to hold out, as 0\.1, or null"
    ):
        open_splits(config, own_shapes)
    assert len(open_train(config, own_shapes)) == 6


@pytest.mark.parametrize(
    ("train_split", "val", "splits", "chosen"),
    [
        ("train", "val", ("train", "val"), ("train", "val")),
        ("train", "val", ("train2017", "valid", "test"), ("train", "val")),
        ("train", "val", (), (None, 0.2)),
        ("train", "val", ("day", "night"), (None, 0.2)),
        ("day", "night", ("day", "night"), ("day", "night")),
        ("train", "val", ("train", "test"), ("train", 0.2)),
        ("train", "val", ("train", "fold2"), ("train", "val")),
        ("train", "night", ("train", "test"), ("train", "night")),
        ("train", "night", (), (None, "night")),
        ("train", "test", ("train", "val"), ("train", "test")),
        ("train", "valid", ("train", "test"), ("train", 0.2)),
        ("train", 0.1, (), (None, 0.1)),
        ("train", None, (), (None, None)),
        (None, "val", ("train", "test"), (None, 0.2)),
    ],
)
def test_what_is_trained_and_validated_on(
    train_split: str | None, val: str | float | None, splits: tuple[str, ...], chosen: tuple[object, object]
) -> None:
    assert choose_splits(train_split, val, splits) == chosen


@pytest.mark.parametrize("write", UNDIVIDED)
def test_a_data_set_without_splits_is_trained_on(
    write: Callable[[Path], None], configure: Configure, tmp_path: Path
) -> None:
    write(tmp_path / "data")
    with log_lines() as told:
        splits = open_splits(with_val(configure), tmp_path / "data")
    assert splits.val is not None
    assert (len(splits.train), len(splits.val)) == (1, 1)
    assert any(
        re.match(r"data\.val 0\.2: 1 of 2 images of .* are held out to validate on; there is no split 'val'", line)
        for line in told
    )


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, True])
def test_a_share_lies_between_0_and_1(configure: Configure, share: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.val: .*a share between 0 and 1, or null, got"):
        configure(data={"val": share})


def test_a_val_without_objects_is_announced_and_not_used(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    for path in (own_shapes / "labels" / "val").iterdir():
        path.write_text("")
    with log_lines() as told:
        result = train(with_val(configure), own_shapes, tmp_path / "run")
    assert result.best is None
    assert any(line.startswith("no validation: expected objects in the split 'val'") for line in told)
    assert not any(" AP " in line for line in told)


def test_polygons_are_announced_once_and_trained_on_or_refused(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    (own_shapes / "labels" / "train" / "0.txt").write_text("0 .25 .25 .75 .25 .5 .75\n1 .5 .5 .2 .2 .9\n")
    with log_lines() as told:
        train(configure(), own_shapes, tmp_path / "run")
    assert len([line for line in told if "1 box with a score, 1 polygon in" in line]) == 1
    with pytest.raises(DatasetError, match=r"2 files or labels .*0\.txt#/lines/0: .* polygons are not boxes"):
        train(configure(data={"shapes": "refuse"}), own_shapes, tmp_path / "other")
