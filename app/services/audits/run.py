"""One audit job from archive to reports: each step goes on from what an interrupted attempt has stored."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from yoloscope.app.services.audits.archive import ArchiveLimits, unpack_archive, without_folder
from yoloscope.app.services.audits.data import open_data
from yoloscope.app.services.audits.files import PART_BYTES
from yoloscope.app.services.audits.jobs import REPORTS
from yoloscope.app.services.audits.options import AuditOptions
from yoloscope.app.services.audits.queue import ClaimedJob, JobQueue
from yoloscope.app.services.audits.shards import ShardQueue
from yoloscope.app.services.model_store import ModelStore, default_model
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.errors import StorageError
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.audit import AuditedModel, LabelAuditor, collect_report, seen_by_model
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import AuditReport, ImageAudit
from yoloscope.training.diagnostics.image_names import image_name
from yoloscope.training.diagnostics.report import write_csv, write_json, write_page
from yoloscope.training.diagnostics.run import CHUNK, calibrate_on, fitted_here
from yoloscope.training.diagnostics.store import AuditStore

_POLL_S: Final = 0.2

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """The data set of a job, its images in the order of their names, its model, and what results depend on."""

    root: Path
    dataset: DetectionDataset
    images: list[LabeledImage]
    runtime: Runtime
    conditions: str


class JobRun:
    """Work on one job in a folder of its own; ``check`` raises where it must not go on.

    ``judged`` counts the images that were judged here.
    """

    def __init__(
        self,
        queue: JobQueue,
        shards: ShardQueue,
        job: ClaimedJob,
        settings: Settings,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        self.judged = 0
        self._queue = queue
        self._shards = shards
        self._job = job
        self._settings = settings
        self._folder = folder
        self._check = check
        self._options = AuditOptions.model_validate_json(job.options)

    def run(self) -> None:
        """Do a claimed job to its end; raises YoloscopeError for what is wrong with it, or what ``check`` does."""
        self._queue.set_phase(self._job.id, "ingest")
        opened = self._open()
        if not self._queue.set_conditions(self._job.id, opened.conditions):
            _LOGGER.warning("audit %s: the model changed since it began; it begins anew", self._job.id)
            self._job = replace(self._job, calibration=None)
        auditor, notes = self._auditor(opened)
        self._queue.split(self._job.id, len(opened.images), CHUNK)
        while True:
            self._judge_shards(opened, auditor)
            if self._shards.are_done(self._job.id):
                break
            time.sleep(_POLL_S)  # others are at the last ones
        self._queue.set_phase(self._job.id, "report")
        self._report(opened, auditor, notes)
        self._queue.finish(self._job.id)

    def help(self) -> None:
        """Judge shards of a job that another worker has claimed, until none is left or a job waits to be claimed."""
        opened = self._open()
        auditor, _ = self._auditor(opened)
        self._judge_shards(opened, auditor, until=self._queue.has_free)

    def _open(self) -> _Opened:
        settings = self._settings
        store = ModelStore(settings.models_dir, default_model(settings), settings.provider, settings.audit_threads)
        runtime = store.get(self._options.model)
        root = self._unpack()
        dataset = open_data(root, self._options.split, runtime.spec)
        listed = sorted((image_name(image.path, root), number) for number, image in enumerate(dataset.images))
        conditions = _conditions(runtime, [name for name, _ in listed])
        return _Opened(root, dataset, [dataset.images[number] for _, number in listed], runtime, conditions)

    def _unpack(self) -> Path:
        root = self._folder / self._job.name
        archive = self._folder / ".zip"
        try:
            with archive.open("w+b") as file:
                for part in self._queue.read_archive(self._job.id):
                    file.write(part)
                    self._check()
                limits = ArchiveLimits(self._settings.max_audit_files, self._settings.max_audit_unpacked_bytes)
                unpack_archive(file, root, limits)
            archive.unlink()
        except OSError as error:
            raise StorageError(f"expected room to unpack an archive, got: {error.strerror or error}") from error
        return root

    def _auditor(self, opened: _Opened) -> tuple[LabelAuditor, tuple[str, ...]]:
        calibration, notes = self._calibration(opened.runtime, opened.dataset)
        options = self._options
        return LabelAuditor(opened.runtime, calibration, floor=options.floor, prevalence=options.prevalence), notes

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

    def _judge_shards(self, opened: _Opened, auditor: LabelAuditor, until: Callable[[], bool] = lambda: False) -> None:
        """Judge what nobody is at; which images share a shard is the same for all workers, and so are the digits."""
        while not until():
            self._check()
            shard = self._shards.claim(self._job.id, opened.conditions)
            if shard is None:
                return
            begun_at = time.perf_counter()
            audits = auditor.audit(opened.images[shard.first : shard.end], opened.root)
            shown = [self._without_folder(audit) for audit in audits]
            self._shards.checkpoint(self._job.id, shard, shown, time.perf_counter() - begun_at)
            self.judged += len(shown)

    def _report(self, opened: _Opened, auditor: LabelAuditor, notes: tuple[str, ...]) -> None:
        runtime = opened.runtime
        model = AuditedModel(runtime.path.stem, runtime.version, seen_by_model(runtime.spec, opened.dataset))
        audits = self._queue.audits(self._job.id)
        store = AuditStore(self._folder / ".findings")
        report = collect_report(auditor, model, opened.dataset, audits, notes, store=store)
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


def _conditions(runtime: Runtime, names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join((runtime.sha256, *names)).encode("utf-8", "surrogateescape")).hexdigest()


def _write(report: AuditReport, dataset: DetectionDataset, path: Path) -> None:
    match path.suffix:
        case ".json":
            write_json(report, path)
        case ".csv":
            write_csv(report, path)
        case _:
            write_page(report, dataset, path)
