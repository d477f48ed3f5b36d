"""Audits of painted images, whose detections and probabilities one can compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.app.scoring import SPECS, YOLO_HEADS, make_spec
from tests.training.diagnostics.painted import (
    NAMES,
    SPEC,
    Cell,
    PaintedDetector,
    Seen,
    box_of,
    calibration_by_hand,
    label,
    paint,
    score_of,
    write_image,
)
from yoloscope.models.errors import ConfigError, PresetError, SpecError
from yoloscope.models.spec import DetectorSpec, ResizeSpec
from yoloscope.training.data.annotations import LabelObject
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage, open_dataset
from yoloscope.training.diagnostics.audit import (
    AuditedModel,
    LabelAuditor,
    collect_report,
    seen_by_model,
)
from yoloscope.training.diagnostics.findings import Finding, ImageAudit, sorted_findings


def _audit(
    folder: Path,
    seen: dict[Cell, Seen],
    *objects: LabelObject,
    spec: DetectorSpec = SPEC,
    floor: float = 0.05,
    scale: int = 1,
    cells: tuple[int, int] = (4, 4),
) -> ImageAudit:
    auditor = LabelAuditor(PaintedDetector(spec), calibration_by_hand(len(spec.class_names)), floor=floor)
    (audit,) = auditor.audit([write_image(folder / "a.png", paint(seen, scale, cells), *objects)], folder)
    return audit


def _of(audit: ImageAudit, kind: str) -> list[Finding]:
    return [finding for finding in audit.findings if finding.kind == kind]


class TestKinds:
    def test_a_label_where_the_detector_sees_it_has_no_finding(self, tmp_path: Path) -> None:
        audit = _audit(tmp_path, {(1, 2): (6, 1)}, label(1, box_of((1, 2))))
        assert audit == ImageAudit("a.png", 1, (), ())

    def test_missing(self, tmp_path: Path) -> None:
        (found,) = _audit(tmp_path, {(1, 2): (2, 1)}).findings
        assert (found.kind, found.label_index, found.class_name) == ("missing", None, "dog")
        assert found.probability == pytest.approx(score_of(2), rel=1e-4)
        assert found.box_xyxy_px == pytest.approx(box_of((1, 2)), abs=1e-4)
        assert found.suggestion is not None
        assert (found.suggestion.class_name, found.suggestion.box_xyxy_px) == ("dog", found.box_xyxy_px)
        assert found.reason.startswith(
            f"dog detected (score {score_of(2):.2f}), and no label overlaps it by more than 0"
        )

    def test_class(self, tmp_path: Path) -> None:
        """Odds of the other class are those of its score; of its own class nothing is seen, 1e-4."""
        audit = _audit(tmp_path, {(1, 2): (2, 1)}, label(0, box_of((1, 2))))
        (found,) = _of(audit, "class")
        odds = score_of(2) / (1 - score_of(2)) * (1 - 1e-4) / 1e-4
        assert found.probability == pytest.approx(odds / (1 + odds), rel=1e-6)
        assert (found.label_index, found.class_name, found.box_xyxy_px) == (0, "cat", box_of((1, 2)))
        assert found.suggestion is not None
        assert (found.suggestion.class_name, found.suggestion.box_xyxy_px) == ("dog", found.box_xyxy_px)
        assert "labeled cat, detected as dog" in found.reason
        assert not _of(audit, "missing")

    def test_location(self, tmp_path: Path) -> None:
        """Moved by half of its width: IoU 1/3. So is the detection explained, and hardly a label missing."""
        x1, y1, x2, y2 = box_of((1, 2))
        audit = _audit(tmp_path, {(1, 2): (6, 1)}, label(1, (x1 + 8, y1, x2 + 8, y2)))
        (found,) = _of(audit, "location")
        expected = 1 / (1 + np.exp(20 / 3 - 10))
        assert found.probability == pytest.approx(expected, rel=1e-4)
        assert found.suggestion is not None
        assert found.suggestion.box_xyxy_px == pytest.approx(box_of((1, 2)), abs=1e-4)
        (other,) = _audit(tmp_path, {(1, 2): (6, 1)}, label(1, (x1 + 8, y1, x2 + 8, y2)), floor=0).findings[-1:]
        missing = [one for one in _of(_audit(tmp_path, {(1, 2): (6, 1)}, floor=0), "missing") if one.probability > 0.9]
        assert len(missing) == 1
        assert other.probability < 0.05
        explained = _of(_audit(tmp_path, {(1, 2): (6, 1)}, label(1, (x1 + 8, y1, x2 + 8, y2)), floor=0), "missing")
        assert explained[0].probability == pytest.approx(missing[0].probability * (1 - expected), rel=1e-4)

    def test_spurious(self, tmp_path: Path) -> None:
        audit = _audit(tmp_path, {}, label(2, box_of((1, 2))))
        (found,) = audit.findings
        assert (found.kind, found.label_index, found.suggestion) == ("spurious", 0, None)
        assert found.probability == pytest.approx(1 - 1e-4, rel=1e-6)
        assert found.reason.startswith("no traffic light is detected there")

    def test_a_spurious_label_costs_the_loss_it_saves(self, tmp_path: Path) -> None:
        """Nothing is seen there."""
        assert _audit(tmp_path, {}, label(2, box_of((1, 2)))).findings[0].gain > 0

    def test_the_index_is_that_of_the_file_and_unusable_labels_have_a_flag(self, tmp_path: Path) -> None:
        bad, outside = label(0, (5, 5, 5, 9)), label(0, (70, 70, 90, 90))
        audit = _audit(tmp_path, {}, bad, outside, label(1, box_of((1, 2))), label(-1, box_of((0, 0))))
        assert [found.label_index for found in audit.findings] == [2]
        assert [(flag.label_index, flag.kind) for flag in audit.flags] == [
            (0, "degenerate"),
            (1, "outside"),
            (3, "unknown_class"),
        ]
        assert audit.num_labels == 4

    def test_a_crowd_region_has_no_finding_and_hides_what_is_in_it(self, tmp_path: Path) -> None:
        audit = _audit(tmp_path, {(1, 2): (6, 1), (3, 0): (6, 1)}, label(1, (0, 16, 48, 64), crowd=True))
        (found,) = audit.findings
        assert found.kind == "missing"
        assert found.box_xyxy_px == pytest.approx(box_of((3, 0)), abs=1e-4)

    def test_two_labels_on_one_predictor_have_a_flag(self, tmp_path: Path) -> None:
        spec = make_spec("v3", YOLO_HEADS, "v3", family="v3")
        box, near = (26.0, 10.0, 46.0, 22.0), (27.0, 10.0, 47.0, 22.0)
        audit = _audit(tmp_path, {}, label(0, box), label(1, near), spec=spec)
        assert [(flag.kind, flag.label_index) for flag in audit.flags if flag.kind == "collision"] == [("collision", 0)]

    def test_an_empty_image(self, tmp_path: Path) -> None:
        assert _audit(tmp_path, {}) == ImageAudit("a.png", 0, (), ())

    def test_a_detector_of_one_class_finds_no_wrong_class(self, tmp_path: Path) -> None:
        spec = make_spec("one", YOLO_HEADS, "v4", class_names=NAMES[:1])
        audit = _audit(tmp_path, {(1, 2): (6, 0)}, label(0, box_of((1, 1))), spec=spec, floor=0)
        assert {found.kind for found in audit.findings} == {"missing", "spurious"}


class TestPlaces:
    def test_boxes_are_pixels_of_a_letterboxed_image(self, tmp_path: Path) -> None:
        spec = SPEC.model_copy(update={"resize": ResizeSpec(placement="letterbox")})
        """The margin is gray, where this detector sees objects of score .5; they are in no image."""
        (found,) = _audit(tmp_path, {(1, 0): (6, 1)}, spec=spec, scale=2, cells=(4, 2)).findings
        assert found.box_xyxy_px == pytest.approx((32, 0, 64, 32), abs=1e-4)

    def test_the_gain_of_a_letterboxed_image_is_that_of_its_place(self, tmp_path: Path) -> None:
        """The same scene, placed by hand: rows 16 to 48 of the network input."""
        spec = SPEC.model_copy(update={"resize": ResizeSpec(placement="letterbox")})
        box = (34.0, 0.0, 64.0, 32.0)
        boxed = _audit(tmp_path, {(1, 0): (2, 1)}, label(0, box), spec=spec, scale=2, cells=(4, 2), floor=0)
        x1, y1, x2, y2 = (value / 2 for value in box)
        plain = _audit(tmp_path, {(1, 1): (2, 1)}, label(0, (x1, y1 + 16, x2, y2 + 16)), floor=0)
        for kind in ("class", "spurious"):
            assert _of(boxed, kind)[0].gain == pytest.approx(_of(plain, kind)[0].gain, rel=1e-4)

    def test_the_gain_of_a_label_over_the_edge_is_that_of_its_part_in_the_image(self, tmp_path: Path) -> None:
        """Training cuts labels to the image."""
        over = _of(_audit(tmp_path, {}, label(0, (50, 20, 90, 40))), "spurious")
        cut = _of(_audit(tmp_path, {}, label(0, (50, 20, 64, 40))), "spurious")
        assert over[0].gain == cut[0].gain
        assert over[0].box_xyxy_px == (50, 20, 90, 40)


class RandomDetector:
    """Raw heads of any spec that follow from the mean color of an image."""

    def __init__(self, spec: DetectorSpec) -> None:
        self.spec = spec

    def heads(self, images: NDArray[np.float32], /) -> Sequence[NDArray[np.float32]]:
        seeds = [int(image.mean() * 1000) for image in images]
        return [
            np.concatenate(
                [np.random.default_rng(seed + index).normal(0, 3, self.spec.head_shape(index, 1)) for seed in seeds]
            ).astype(np.float32)
            for index in range(len(self.spec.heads))
        ]


def _random_images(folder: Path, count: int, classes: int) -> list[LabeledImage]:
    source = np.random.default_rng(1)
    images = []
    for number in range(count):
        low, size = source.uniform(0, 40, (number % 7, 2)), source.uniform(4, 24, (number % 7, 2))
        boxes: list[BoxXyxy] = [tuple(row) for row in np.concatenate((low, low + size), 1).tolist()]
        image = Image.new("RGB", (64, 64), tuple(source.integers(0, 255, 3).tolist()))
        objects = [label(int(source.integers(classes)), box) for box in boxes]
        images.append(write_image(folder / f"{number:02}.png", image, *objects))
    return images


class TestAnyDetector:
    @pytest.mark.parametrize("name", SPECS)
    def test_probabilities_and_gains_are_finite_and_do_not_depend_on_the_batch(self, name: str, tmp_path: Path) -> None:
        """But for the last digit of a gain."""
        auditor = LabelAuditor(RandomDetector(SPECS[name]), calibration_by_hand(), floor=0.4)
        images = _random_images(tmp_path, 5, 3)
        together = auditor.audit(images, tmp_path)
        found = [finding for audit in together for finding in audit.findings]
        assert {finding.kind for finding in found} >= {"missing", "location", "spurious"}
        assert all(0.4 <= finding.probability <= 1 and np.isfinite(finding.gain) for finding in found)
        assert all(audit.findings == sorted_findings(audit.findings) for audit in together)
        alone = [auditor.audit([image], tmp_path)[0] for image in images[::-1]][::-1]
        parts = [audit for start in (0, 3) for audit in auditor.audit(images[start : start + 3], tmp_path)]
        for others in (alone, parts):
            for one, other in zip(together, others, strict=True):
                assert _without_gains(one) == _without_gains(other)
                for a, b in zip(one.findings, other.findings, strict=True):
                    assert a.gain == pytest.approx(b.gain, rel=1e-5, abs=1e-4)

    def test_eighty_classes(self, tmp_path: Path) -> None:
        spec = make_spec("eighty", YOLO_HEADS, "v4", class_names=tuple(f"c{i}" for i in range(80)))
        auditor = LabelAuditor(RandomDetector(spec), calibration_by_hand(80), floor=0.3)
        images = _random_images(tmp_path, 3, 3)
        assert all(np.isfinite(one.gain) for audit in auditor.audit(images, tmp_path) for one in audit.findings)


def _without_gains(audit: ImageAudit) -> ImageAudit:
    findings = (replace(one, gain=0.0, reason=one.reason.partition(";")[0]) for one in audit.findings)
    return replace(audit, findings=tuple(findings))


class TestAuditor:
    def test_an_image_that_cannot_be_read_is_skipped_in_its_place(self, tmp_path: Path) -> None:
        images = [write_image(tmp_path / f"{name}.png", paint({(1, 2): (6, 1)})) for name in "abc"]
        images[1].path.write_bytes(b"no image")
        audits = LabelAuditor(PaintedDetector(), calibration_by_hand()).audit(images, tmp_path)
        assert [audit.image for audit in audits] == ["a.png", "b.png", "c.png"]
        assert [len(audit.findings) for audit in audits] == [1, 0, 1]
        (skipped,) = audits[1].skipped
        assert skipped.location == "b.png"
        assert skipped.detail == f"expected a whole image at {images[1].path}, got: a file of another format"
        assert LabelAuditor(PaintedDetector(), calibration_by_hand()).audit(images[1:2], tmp_path) == [audits[1]]

    def test_no_images(self, tmp_path: Path) -> None:
        assert LabelAuditor(PaintedDetector(), calibration_by_hand()).audit([], tmp_path) == []

    @pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
    def test_a_floor_that_is_no_probability(self, floor: float) -> None:
        with pytest.raises(ConfigError, match="floor: expected a probability of 0 to 1"):
            LabelAuditor(PaintedDetector(), calibration_by_hand(), floor=floor)

    def test_a_prevalence_out_of_bounds(self) -> None:
        with pytest.raises(SpecError, match="prevalence of class"):
            LabelAuditor(PaintedDetector(), calibration_by_hand(), prevalence={"class": 0.95})

    def test_a_detector_without_a_loss(self) -> None:
        heads = tuple(head.model_copy(update={"kind": "gaussian_yolo"}) for head in YOLO_HEADS)
        with pytest.raises(PresetError, match="gaussian_yolo heads have no loss"):
            LabelAuditor(RandomDetector(make_spec("g", heads, "v3")), calibration_by_hand())


def _dataset(folder: Path, split: str | None = "val") -> DetectionDataset:
    image = write_image(folder / "a.png", paint({}), label(0, box_of((0, 0))), label(1, box_of((1, 1))))
    return DetectionDataset("yolo", folder / "cells", split, NAMES, (1, 2, 3), (image,), (), ())


class TestSeenByModel:
    @pytest.mark.parametrize(
        ("trained", "seen"),
        [
            (("cells", "train", 5, 9), False),
            (("cells", "val", 5, 9), True),
            (("cells", None, 5, 9), True),
            (("other", "train", 5, 9), None),
            (("other", "val", 1, 2), True),
        ],
        ids=str,
    )
    def test_by_the_summary_of_the_training(
        self, trained: tuple[str, str | None, int, int], seen: object, tmp_path: Path
    ) -> None:
        summary = {"train": dict(zip(("name", "split", "images", "objects"), trained, strict=True))}
        assert seen_by_model(SPEC.model_copy(update={"training": summary}), _dataset(tmp_path)) is seen

    @pytest.mark.parametrize(
        ("training", "seen"),
        [
            (None, None),
            ({}, None),
            ({"config": None}, None),
            ({"config": {"data": {"train": "train"}}}, False),
            ({"config": {"data": {"train": "val"}}}, None),
        ],
        ids=str,
    )
    def test_without_one_splits_of_another_name_were_not_seen(
        self, training: dict[str, object] | None, seen: object, tmp_path: Path
    ) -> None:
        assert seen_by_model(SPEC.model_copy(update={"training": training}), _dataset(tmp_path)) is seen

    def test_the_report_says_what_that_does_to_the_scores(self, tmp_path: Path) -> None:
        auditor, dataset = LabelAuditor(PaintedDetector(), calibration_by_hand()), _dataset(tmp_path)
        audits = auditor.audit(dataset.images, tmp_path)
        notes = {
            seen: collect_report(auditor, AuditedModel("m", "1", seen), dataset, audits, ("first",)).notes
            for seen in (True, False, None)
        }
        assert notes[False] == ("first",)
        assert "trained on these images" in notes[True][1]
        assert "--folds" in notes[True][1]
        assert "not known" in notes[None][1]


def test_a_report_does_not_depend_on_the_order_of_the_audits(tmp_path: Path) -> None:
    auditor, dataset = LabelAuditor(PaintedDetector(), calibration_by_hand()), _dataset(tmp_path)
    audits = [*auditor.audit(dataset.images, tmp_path), ImageAudit("0.png", 2, (), ())]
    model = AuditedModel("m", "1", seen=False)
    assert collect_report(auditor, model, dataset, audits) == collect_report(auditor, model, dataset, audits[::-1])


def test_images_without_label_files_and_label_files_without_images_are_counted(tmp_path: Path) -> None:
    auditor = LabelAuditor(PaintedDetector(SPEC), calibration_by_hand(len(NAMES)))
    for stem in "abc":
        write_image(tmp_path / f"images/{stem}.png", paint({}))
    for stem in ("a", "gone"):
        (tmp_path / f"labels/{stem}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"labels/{stem}.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    notes = collect_report(auditor, AuditedModel("m", "1", seen=False), open_dataset(tmp_path), ()).notes
    assert notes == (
        f"2 images have no label files, such as {tmp_path / 'labels/b.txt'}: taken for images without objects",
        f"one label file has no image, such as {tmp_path / 'labels/gone.txt'}: left out",
    )
