"""One audit job from archive to reports: each step goes on from what an interrupted attempt has stored."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yoloscope.app.services.audits.archive import ArchiveLimits, unpack_archive
from yoloscope.app.services.audits.data import open_data
from yoloscope.app.services.audits.files import PART_BYTES
from yoloscope.app.services.audits.folders import without_folder
from yoloscope.app.services.audits.jobs import REPORTS
from yoloscope.app.services.audits.options import AuditOptions
from yoloscope.app.services.audits.queue import ClaimedJob, JobQueue
from yoloscope.app.services.model_store import ModelStore, default_model
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.audit import AuditedModel, LabelAuditor, collect_report, seen_by_model
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import AuditReport, ImageAudit
from yoloscope.training.diagnostics.image_names import image_name
from yoloscope.training.diagnostics.report import write_csv, write_json, write_page
from yoloscope.training.diagnostics.run import CHUNK, calibrate_on, fitted_here
from yoloscope.training.diagnostics.store import AuditStore

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """The data set of a job, its images by name, and what judges them."""

    root: Path
    dataset: DetectionDataset
    names: list[str]
    images: list[LabeledImage]
    auditor: LabelAuditor
    model: AuditedModel
    notes: tuple[str, ...]


class JobRun:
    """Work on one claimed job in a folder of its own; ``check`` raises where it must not go on."""

    def __init__(
        self, queue: JobQueue, job: ClaimedJob, settings: Settings, folder: Path, check: Callable[[], None]
    ) -> None:
        self._queue = queue
        self._job = job
        self._settings = settings
        self._folder = folder
        self._check = check
        self._options = AuditOptions.model_validate_json(job.options)

    def run(self) -> None:
        """Do the job to its end; raises YoloscopeError for what is wrong with it, or what ``check`` does."""
        opened = self._open()
        self._score(opened)
        self._queue.set_phase(self._job.id, "report")
        self._report(opened)
        self._queue.finish(self._job.id)

    def _open(self) -> _Opened:
        self._queue.set_phase(self._job.id, "ingest")
        root = self._unpack()
        settings = self._settings
        store = ModelStore(settings.models_dir, default_model(settings), settings.provider, settings.audit_threads)
        runtime = store.get(self._options.model)
        dataset = open_data(root, self._options.split, runtime.spec)
        listed = sorted((image_name(image.path, root), number) for number, image in enumerate(dataset.images))
        names = [name for name, _ in listed]
        if not self._queue.set_conditions(self._job.id, self._conditions(runtime, names)):
            _LOGGER.warning("audit %s: the model changed since it began; it begins anew", self._job.id)
            self._job = replace(self._job, calibration=None)
        calibration, notes = self._calibration(runtime, dataset)
        prevalence = self._options.prevalence
        return _Opened(
            root,
            dataset,
            names,
            [dataset.images[number] for _, number in listed],
            LabelAuditor(runtime, calibration, floor=self._options.floor, prevalence=prevalence),
            AuditedModel(runtime.path.stem, runtime.version, seen_by_model(runtime.spec, dataset)),
            notes,
        )

    def _unpack(self) -> Path:
        root = self._folder / self._job.name
        archive = self._folder / ".zip"
        with archive.open("w+b") as file:
            for part in self._queue.read_archive(self._job.id):
                file.write(part)
                self._check()
            limits = ArchiveLimits(self._settings.max_audit_files, self._settings.max_audit_unpacked_bytes)
            unpack_archive(file, root, limits)
        archive.unlink()
        return root

    def _conditions(self, runtime: Runtime, names: Sequence[str]) -> str:
        return hashlib.sha256("\n".join((runtime.sha256, *names)).encode("utf-8", "surrogateescape")).hexdigest()

    def _calibration(self, runtime: Runtime, dataset: DetectionDataset) -> tuple[AuditCalibration, tuple[str, ...]]:
        """Return the model's calibration, or one that is fitted to the data set and kept with the job."""
        own = AuditCalibration.of_spec(runtime.spec)
        if own is not None:
            return own, ()
        if self._job.calibration is not None:
            found = AuditCalibration.model_validate_json(self._job.calibration)
        else:
            self._queue.set_phase(self._job.id, "calibrate", len(dataset))

            def detector(_image: LabeledImage) -> Runtime:
                self._check()
                return runtime

            found = calibrate_on(detector, dataset, self._job.name)
            self._queue.set_calibration(self._job.id, found.model_dump_json())
        return found, (fitted_here(found),)

    def _score(self, opened: _Opened) -> None:
        self._queue.set_phase(self._job.id, "score", len(opened.images))
        done = self._queue.done_rows(self._job.id)
        rows = [row for row in range(len(opened.images)) if row not in done]
        for start in range(0, len(rows), CHUNK):
            self._check()
            chunk = rows[start : start + CHUNK]
            begun_at = time.perf_counter()
            audits = opened.auditor.audit([opened.images[row] for row in chunk], opened.root)
            shown = [self._without_folder(audit) for audit in audits]
            self._queue.checkpoint(self._job.id, chunk, shown, time.perf_counter() - begun_at)

    def _report(self, opened: _Opened) -> None:
        audits = self._queue.audits(self._job.id)
        store = AuditStore(self._folder / ".findings")
        report = collect_report(opened.auditor, opened.model, opened.dataset, audits, opened.notes, store=store)
        report = self._report_without_folder(report)
        for name in REPORTS:
            self._check()
            path = self._folder / name
            _write(report, opened.dataset, path)
            self._store(path)

    def _store(self, path: Path) -> None:
        self._queue.begin_file(self._job.id, path.name)
        with path.open("rb") as file:
            position = 0
            while data := file.read(PART_BYTES):
                self._queue.add_part(self._job.id, path.name, position, data)
                position += 1

    def shown(self, text: str) -> str:
        """Return a text without the folder that this attempt works in."""
        return without_folder(text, self._folder)

    def _without_folder(self, audit: ImageAudit) -> ImageAudit:
        skipped = tuple(replace(one, detail=self.shown(one.detail)) for one in audit.skipped)
        return replace(audit, skipped=skipped)

    def _report_without_folder(self, report: AuditReport) -> AuditReport:
        skipped = tuple(
            replace(one, location=self.shown(one.location), detail=self.shown(one.detail)) for one in report.skipped
        )
        return replace(report, skipped=skipped, notes=tuple(map(self.shown, report.notes)))


def _write(report: AuditReport, dataset: DetectionDataset, path: Path) -> None:
    match path.suffix:
        case ".json":
            write_json(report, path)
        case ".csv":
            write_csv(report, path)
        case _:
            write_page(report, dataset, path)
