"""Audit of a whole data set by one model or by one per fold: calibrated, resumable, and its report in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from yoloscope.models.locks import alone_in
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.audit import (
    DEFAULT_FLOOR,
    AuditedModel,
    LabelAuditor,
    collect_report,
    seen_by_model,
)
from yoloscope.training.diagnostics.calibrate import TILED_VIEWS, VIEWS
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import AuditReport, FindingKind, ImageAudit
from yoloscope.training.diagnostics.image_names import image_name
from yoloscope.training.diagnostics.report import write_csv, write_json, write_page
from yoloscope.training.diagnostics.run import AuditLog, Judge, audit_images, calibrate_on, fitted_here
from yoloscope.training.diagnostics.views import HeadsDetector, View
from yoloscope.training.losses import get_preset

REPORT: Final = "report.json"
TABLE: Final = "report.csv"
PAGE: Final = "report.html"
_LOG: Final = "images.jsonl"

DetectorOf: TypeAlias = Callable[[LabeledImage], HeadsDetector]
"""The detector that judges an image, which has not learned from it where that is possible."""
Calibrate: TypeAlias = Callable[[DetectorOf, DetectionDataset, Sequence[View]], AuditCalibration]
Progress: TypeAlias = Callable[[Iterable[ImageAudit], int], Iterable[ImageAudit]]
"""Shows how many of so many audits are done while it hands them on."""


@dataclass(frozen=True)
class AuditOptions:
    """Least probability of a finding that is listed, stated shares of errors by kind, and whether to look at tiles."""

    floor: float = DEFAULT_FLOOR
    prevalence: Mapping[FindingKind, float] | None = None
    tiles: bool = False

    @property
    def views(self) -> tuple[View, ...]:
        """Views that a calibration is fitted to."""
        return TILED_VIEWS if self.tiles else VIEWS


@dataclass(frozen=True)
class DatasetAudit:
    """Judges of images: ``judge`` takes them in parts; ``auditor`` has the calibration that all share."""

    root: Path
    judge: Judge
    auditor: LabelAuditor
    model: AuditedModel
    notes: tuple[str, ...]


def calibrate_quietly(detector_of: DetectorOf, dataset: DetectionDataset, views: Sequence[View]) -> AuditCalibration:
    """Fit a calibration to the data set; raises DatasetError where it has too few labels."""
    return calibrate_on(detector_of, dataset, dataset.title, views)


def audit_by_model(
    detector: HeadsDetector,
    model: tuple[str, str],
    dataset: DetectionDataset,
    root: Path,
    options: AuditOptions,
    calibrate: Calibrate = calibrate_quietly,
) -> tuple[DatasetAudit, DetectionDataset]:
    """Prepare the audit by one detector; ``model`` is its name and version, ``root`` what images are named below.

    Also returns the data set with the classes of the model. A detector without a calibration, or without one for tiles
    where those are asked for, gets one that is fitted to the data set, and a note says so. Raises PresetError,
    DatasetError, ConfigError or SpecError.
    """
    get_preset(None, detector.spec)
    dataset = dataset.for_model(detector.spec.class_names)
    own = AuditCalibration.of_spec(detector.spec)
    if own is not None and options.tiles and "tiled" not in own.views:
        own = None
    calibration = own or calibrate(lambda _: detector, dataset, options.views)
    notes = () if own else (f"{fitted_here(calibration)} yoloscope audit --calibrate stores one in the model.",)
    auditor = LabelAuditor(detector, calibration, floor=options.floor, prevalence=options.prevalence)
    audited = AuditedModel(*model, seen_by_model(detector.spec, dataset))
    return DatasetAudit(root, lambda images: auditor.audit(images, root), auditor, audited, notes), dataset


def _hand_on(audits: Iterable[ImageAudit], _total: int) -> Iterable[ImageAudit]:
    return audits


def run_audit(
    auditing: DatasetAudit, dataset: DetectionDataset, output: Path | None = None, progress: Progress = _hand_on
) -> AuditReport:
    """Judge all images, going on from what the folder ``output`` has of them.

    Raises ConfigError where that was found under other conditions or another audit is at work there, OutputError.
    """
    auditor = auditing.auditor
    names = [image_name(image.path, auditing.root) for image in dataset.images]
    conditions = {
        "model": auditing.model.version,
        "calibration": hashlib.sha256(auditor.calibration.model_dump_json().encode()).hexdigest(),
        "floor": auditor.floor,
        "images": _digest(dataset.images, names),
    }
    with ExitStack() as opened:
        log = None
        if output is not None:
            opened.enter_context(alone_in(output, "audit"))
            log = opened.enter_context(AuditLog(output / _LOG, conditions))
        audits = progress(audit_images(auditing.judge, dataset.images, names, log), len(dataset.images))
        return collect_report(auditor, auditing.model, dataset, audits, auditing.notes)


def _digest(images: Sequence[LabeledImage], names: Sequence[str]) -> str:
    """Return the sha256 of the names and labels of images."""
    digest = hashlib.sha256()
    for image, name in zip(images, names, strict=True):
        digest.update(repr((name, image.labels)).encode())
    return digest.hexdigest()


def write_report(report: AuditReport, dataset: DetectionDataset, output: Path) -> None:
    """Write the report as JSON, CSV and the page into a folder; raises OutputError."""
    write_json(report, output / REPORT)
    write_csv(report, output / TABLE)
    write_page(report, dataset, output / PAGE)
