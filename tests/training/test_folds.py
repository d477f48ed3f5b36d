"""Folds: parts of a data set, each judged by a network that was trained on the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import yoloscope.training.folds
from tests.training.runs import quick_config
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.data.splits import Splits
from yoloscope.training.folds import CONDITIONS, learned_elsewhere, split_folds, train_folds
from yoloscope.training.train import TrainResult


@pytest.fixture(scope="module")
def dataset(shapes: Path) -> DetectionDataset:
    """Six images to train on."""
    return open_dataset(shapes, "train")


class TestSplit:
    @pytest.mark.parametrize("count", [2, 3, 4, 6])
    def test_every_image_is_in_one_part_and_parts_are_as_equal_as_can_be(
        self, count: int, dataset: DetectionDataset
    ) -> None:
        parts = split_folds(dataset, count)
        names = [image.path.name for part in parts for image in part]
        assert sorted(names) == sorted(image.path.name for image in dataset.images)
        sizes = sorted(map(len, parts))
        assert len(parts) == count
        assert sizes[-1] - sizes[0] <= 1

    def test_parts_follow_from_names_and_seed_and_not_from_the_order(self, dataset: DetectionDataset) -> None:
        turned = replace(dataset, images=dataset.images[::-1])
        assert split_folds(turned, 3) == split_folds(dataset, 3)
        assert any(split_folds(dataset, 3, seed) != split_folds(dataset, 3) for seed in (1, 2, 3))

    def test_too_few_images(self, dataset: DetectionDataset) -> None:
        with pytest.raises(DatasetError, match="expected at least 7 images for 7 folds, got 6"):
            split_folds(dataset, 7)


class Trainings:
    """Stands in for the trainer: remembers what it was asked, and writes an artifact or stops by a signal."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[str], bool]] = []
        self.stop_at = -1

    def __call__(
        self, config: TrainingConfig, _: Path, folder: Path, *, resume: bool, splits: Splits, **__: object
    ) -> TrainResult:
        assert config.data.val is None
        assert splits.val is None
        self.asked.append((folder.name, {image.path.name for image in splits.train.images}, resume))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.ckpt").touch()
        if len(self.asked) - 1 == self.stop_at:
            return TrainResult(1, None, folder / "last.ckpt", 15, None, None)
        (folder / "model.onnx").touch()
        return TrainResult(1, None, folder / "last.ckpt", None, folder / "model.onnx", None)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(yoloscope.training.folds, "train", found)
    return found


class TestTraining:
    def test_no_network_sees_the_images_that_it_judges(
        self, dataset: DetectionDataset, trainings: Trainings, tmp_path: Path
    ) -> None:
        folds = train_folds(quick_config(), dataset, 3, tmp_path)
        every = {image.path.name for image in dataset.images}
        for fold, (name, seen, resume) in zip(folds, trainings.asked, strict=True):
            held_out = {image.path.name for image in fold.images}
            assert fold.artifact == tmp_path / name / "model.onnx"
            assert seen == every - held_out
            assert len(held_out) == 2
            assert not resume

    def test_a_stopped_fold_goes_on_and_done_ones_are_taken(
        self, dataset: DetectionDataset, trainings: Trainings, tmp_path: Path
    ) -> None:
        trainings.stop_at = 1
        with pytest.raises(ConfigError, match="stopped in fold 2 of 3; the same command goes on from there"):
            train_folds(quick_config(), dataset, 3, tmp_path)
        folds = train_folds(quick_config(), dataset, 3, tmp_path)
        assert [(name, resume) for name, _, resume in trainings.asked] == [
            ("fold-1", False),
            ("fold-2", False),
            ("fold-2", True),
            ("fold-3", False),
        ]
        assert len(folds) == 3
        assert train_folds(quick_config(), dataset, 3, tmp_path) == folds
        assert len(trainings.asked) == 4

    @pytest.mark.parametrize("other", ["count", "config", "images", "labels"])
    def test_folds_of_something_else_are_refused(
        self, other: str, dataset: DetectionDataset, trainings: Trainings, tmp_path: Path
    ) -> None:
        """A network of five folds has seen images of a part of three."""
        train_folds(quick_config(), dataset, 3, tmp_path)
        images = dataset.images
        if other == "images":
            images = images[1:]
        if other == "labels":
            images = (replace(images[0], labels=replace(images[0].labels, objects=())), *images[1:])
        config = quick_config(epochs=2) if other == "config" else quick_config()
        with pytest.raises(ConfigError, match="holds folds of another number, configuration or data set"):
            train_folds(config, replace(dataset, images=images), 2 if other == "count" else 3, tmp_path)
        assert len(trainings.asked) == 3
        assert (tmp_path / CONDITIONS).is_file()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"distill": {"teachers": 2}}, ()),
        ({"distill": {"teachers": ["a.ckpt", "runs/b"]}}, ("a.ckpt", "runs/b")),
        ({"start": "builtin"}, ("builtin",)),
        ({"start": ["net.cfg", "net.weights"]}, ("net.weights",)),
        ({"start": {"weights": "net.weights"}}, ("net.weights",)),
    ],
)
def test_networks_from_elsewhere_are_named(changes: dict[str, object], expected: tuple[str, ...]) -> None:
    assert learned_elsewhere(quick_config(**changes)) == expected
