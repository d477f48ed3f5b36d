"""Jobs from zip to report: the report of the command, whatever was interrupted, and clear failures."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from time import sleep

import pytest

from tests.app.audits import (
    MODEL,
    NO_CLASSES,
    NO_LABELS,
    OPTIONS,
    UNKNOWN_CLASS,
    submit,
    write_judge,
    yolo_files,
    yolo_zip,
    zip_of,
)
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import REPORTS, AuditJob, AuditJobs
from yoloscope.app.services.audits.worker import Worker
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.scratch import UNFINISHED
from yoloscope.training.data.datasets import LabeledImage, open_dataset
from yoloscope.training.diagnostics.audit import AuditedModel, LabelAuditor, collect_report
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.run import CHUNK

IMAGES = 20


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_judge(tmp_path_factory.mktemp("models")).parent


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path) -> Settings:
    return Settings(models_dir=models_dir, model=MODEL, provider="cpu", threads=1, audits_dir=tmp_path, audit_lease_s=1)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.audits_url)
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> AuditJobs:
    return AuditJobs(database, 9)


@pytest.fixture
def work(settings: Settings, database: Database) -> Callable[[], None]:
    """Work until the queue is empty."""
    return Worker(settings, database, Event(), idle_s=0).run


def report(jobs: AuditJobs, job: AuditJob, name: str) -> bytes:
    return b"".join(jobs.report(job.id, name))


def test_the_report_is_that_of_the_auditor(
    tmp_path: Path, models_dir: Path, jobs: AuditJobs, work: Callable[[], None]
) -> None:
    root = tmp_path / "cells"
    for name, data in yolo_files(IMAGES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    runtime = Runtime(models_dir / f"{MODEL}.onnx", "cpu", 1)
    calibration = AuditCalibration.of_spec(runtime.spec)
    assert calibration
    dataset = open_dataset(root).for_model(runtime.spec.class_names)
    auditor = LabelAuditor(runtime, calibration)
    audits = auditor.audit(dataset.images, root)
    expected = collect_report(auditor, AuditedModel(MODEL, runtime.version, None), dataset, audits)

    job = submit(jobs, yolo_zip(IMAGES))
    work()
    view = jobs.get(job.id)
    assert (view.state, view.done, view.total, view.error) == ("done", IMAGES, IMAGES, None)
    assert report(jobs, job, "report.json").decode() == expected.to_json()
    assert expected.findings
    paged = jobs.findings(job.id, None, None, None, 10_000).findings
    assert [json.loads(line) for line in paged] == json.loads(expected.to_json())["findings"]
    assert report(jobs, job, "report.html").startswith(b"<!doctype html>")
    assert report(jobs, job, "report.csv").count(b"\n") == 1 + len(expected.findings)
    assert not (tmp_path / UNFINISHED).exists()


def test_an_interrupted_job_ends_in_the_same_bytes(
    settings: Settings, database: Database, jobs: AuditJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = submit(jobs, yolo_zip(IMAGES))
    Worker(settings, database, Event(), idle_s=0).run()
    job = submit(jobs, yolo_zip(IMAGES))
    judged: list[str] = []
    stop = Event()
    audit = LabelAuditor.audit

    def stopping(self: LabelAuditor, images: list[LabeledImage], root: Path) -> list[ImageAudit]:
        judged.extend(image.path.name for image in images)
        stop.set()
        return audit(self, images, root)

    monkeypatch.setattr(LabelAuditor, "audit", stopping)
    for done in (CHUNK, IMAGES):
        stop.clear()
        Worker(settings, database, stop, idle_s=0).run()
        assert jobs.get(job.id).done == done
    assert jobs.get(job.id).state == "queued"
    stop.clear()
    Worker(settings, database, stop, idle_s=0).run()
    assert sorted(judged) == [f"{number:03d}.png" for number in range(IMAGES)]
    assert all(report(jobs, job, name) == report(jobs, whole, name) for name in REPORTS)


def test_a_job_that_is_canceled_while_it_runs_stops_after_the_images_at_work(
    jobs: AuditJobs, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, later = submit(jobs, yolo_zip(IMAGES)), submit(jobs, yolo_zip(1))
    audit = LabelAuditor.audit

    def canceling(self: LabelAuditor, images: list[LabeledImage], root: Path) -> list[ImageAudit]:
        if jobs.get(job.id).done == CHUNK:
            jobs.cancel(job.id)
        return audit(self, images, root)

    monkeypatch.setattr(LabelAuditor, "audit", canceling)
    work()
    assert (jobs.get(job.id).state, jobs.get(job.id).done) == ("cancelled", CHUNK)
    assert jobs.get(later.id).state == "done"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (NO_CLASSES, OPTIONS, "expected"),
        (UNKNOWN_CLASS, OPTIONS, "zebra"),
        (NO_LABELS, OPTIONS, "expected at least 1 labels to audit in cells, got 0 in 1 images"),
        (yolo_zip(1), OPTIONS.replace(MODEL, "absent"), "the model cannot be served"),
        (b"PK\x03\x04 broken", OPTIONS, "expected a whole zip"),
    ],
    ids=["no data set", "an unknown class", "no labels", "no such model", "a broken zip"],
)
def test_a_job_that_cannot_be_done_fails_in_words(
    settings: Settings, jobs: AuditJobs, work: Callable[[], None], data: bytes, options: str, message: str
) -> None:
    job = submit(jobs, data, options=options)
    work()
    view = jobs.get(job.id)
    assert view.state == "failed"
    assert view.error
    assert message in view.error
    assert str(settings.audits_dir) not in view.error


def test_images_that_cannot_be_read_are_skipped_and_named_without_the_folder_of_the_worker(
    settings: Settings, jobs: AuditJobs, work: Callable[[], None]
) -> None:
    broken = [("images/broken.png", b"\x89PNG\r\n\x1a\n"), ("labels/broken.txt", b"0 .5 .5 .1 .1")]
    job = submit(jobs, zip_of([*yolo_files(2), *broken]))
    work()
    text = report(jobs, job, "report.json").decode()
    (skipped,) = json.loads(text)["skipped"]
    assert skipped["location"].startswith("cells/images/broken.png")
    assert str(settings.audits_dir) not in text


def test_a_worker_without_room_leaves_the_job_to_others(
    settings: Settings, database: Database, jobs: AuditJobs, caplog: pytest.LogCaptureFixture
) -> None:
    """As a replica whose disk is full beside one whose is not: they share the database, not the folder."""
    job = submit(jobs, yolo_zip(2))
    file = settings.audits_dir / "file"
    file.touch()
    full = settings.model_copy(update={"audits_dir": file, "audit_lease_s": 0.1})
    stop = Event()
    without_room = Worker(full, database, stop, idle_s=0)
    claim = without_room._queue.claim
    without_room._queue.claim = lambda: stop.set() or claim()  # type: ignore[method-assign, func-returns-value]
    without_room.run()
    assert "to be tried again: expected room for a folder, got: Not a directory" in caplog.text
    sleep(0.2)
    Worker(settings, database, Event(), idle_s=0).run()
    assert jobs.get(job.id).state == "done"
