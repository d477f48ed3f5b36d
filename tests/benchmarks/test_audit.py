"""The benchmark of audits: noisy labels of folds, and verdicts of findings that were looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tests.benchmarks.audit.out_of_fold
from tests.benchmarks.audit.by_eye import Suspect, Verdict, read_verdicts, verdict_of, wilson
from tests.benchmarks.audit.injected import inject
from tests.benchmarks.audit.out_of_fold import judge_folds, noisy
from tests.training.runs import quick_config, write_shapes
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.folds import Fold, split_folds

SEED = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    return open_dataset(write_shapes(tmp_path_factory.mktemp("shapes") / "data", train=40), "train")


class TestOutOfFold:
    def test_networks_learn_the_labels_with_errors(self, dataset: DetectionDataset) -> None:
        learned = noisy(dataset, SEED)
        corrupted = inject([image.labels for image in dataset.images], dataset.class_names, SEED, share=1.0)
        assert [image.labels for image in learned.images] == [one.labels for one in corrupted]
        assert [image.labels for image in learned.images] != [image.labels for image in dataset.images]
        for image in learned.images:
            sides = image.labels.boxes_xyxy_px[:, 2:] - image.labels.boxes_xyxy_px[:, :2]
            assert np.allclose(image.areas_px, sides.prod(1))

    def test_images_of_a_quarter_have_the_errors_that_networks_learned(self, dataset: DetectionDataset) -> None:
        labels = [image.labels for image in dataset.images]
        everywhere = inject(labels, dataset.class_names, SEED, share=1.0)
        quarter = inject(labels, dataset.class_names, SEED, share=0.25)
        changed = [one.labels != true for one, true in zip(quarter, labels, strict=True)]
        assert any(changed)
        for one, whole, is_changed, true in zip(quarter, everywhere, changed, labels, strict=True):
            assert one.labels == (whole.labels if is_changed else true)

    def test_each_image_is_judged_with_its_true_labels_by_its_fold(
        self, dataset: DetectionDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def trained(
            config: TrainingConfig, learned: DetectionDataset, count: int, folder: Path, *, progress_bar: bool
        ) -> list[Fold]:
            asked.append((learned, count, folder, progress_bar))
            return [Fold(part, BUILTIN) for part in split_folds(learned, count, config.seed)]

        monkeypatch.setattr(tests.benchmarks.audit.out_of_fold, "train_folds", trained)
        monkeypatch.setattr(tests.benchmarks.audit.out_of_fold, "evaluate", lambda _, part: _Evaluated(len(part)))
        judged = judge_folds(dataset, SEED, quick_config(), 4, tmp_path)
        assert asked == [(noisy(dataset, SEED), 4, tmp_path, False)]
        assert [(one.name, one.labels) for one in judged.images] == [
            (image.path.stem, image.labels) for image in dataset.images
        ]
        assert judged.ap50 == (10, 10, 10, 10)


class _Evaluated:
    """An evaluation whose AP50 is the number of images."""

    def __init__(self, images: int) -> None:
        self.coco = self
        self.numbers = {"AP50": images}


class TestByEye:
    @pytest.mark.parametrize(
        ("image", "kind", "class_name", "box", "verdict"),
        [
            ("1", "missing", "cat", (0, 0, 10, 10), "fault"),
            ("1", "missing", "cat", (0, 0, 10, 9), "fault"),
            ("1", "missing", "cat", (0, 0, 10, 7), None),
            ("2", "missing", "cat", (0, 0, 10, 10), None),
            ("1", "spurious", "cat", (0, 0, 10, 10), None),
            ("1", "missing", "dog", (0, 0, 10, 10), None),
        ],
    )
    def test_a_verdict_is_that_of_the_same_kind_class_and_place(
        self, image: str, kind: str, class_name: str, box: tuple[float, float, float, float], verdict: str | None
    ) -> None:
        suspect = Suspect("1", "missing", "cat", (0, 0, 10, 10), 0.9)
        assert verdict_of(suspect, [Verdict(image, kind, class_name, box, "fault")]) == verdict

    def test_an_unknown_word_is_no_verdict(self, tmp_path: Path) -> None:
        table = tmp_path / "verdicts.csv"
        table.write_text("image,kind,class,x1,y1,x2,y2,verdict,why\n1,missing,cat,0,0,9,9,perhaps,\n")
        with pytest.raises(SystemExit, match="expected the verdicts fault, unclear and right, got perhaps"):
            read_verdicts(table)

    def test_every_fault_among_the_verdicts_says_why(self) -> None:
        verdicts = read_verdicts()
        places = [(one.image, one.kind, one.class_name, one.box_xyxy_px) for one in verdicts]
        assert len(set(places)) == len(places) > 100
        assert all(bool(one.why) == (one.verdict == "fault") for one in verdicts)

    def test_the_interval_of_a_share(self) -> None:
        """Wilson's for 10 of 50: (.2 + .0384 -+ sqrt(.16 * .0768 + .0768 ** 2 / 4)) / 1.0768, by hand."""
        assert wilson(10, 50) == pytest.approx((0.1124, 0.3304), abs=1e-3)
