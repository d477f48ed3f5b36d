"""Several workers at one job: the report of one alone, whoever dies, leaves or has another model."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import onnx
import pytest
from sqlalchemy import select, update

from tests.app.artifact import write_tiny_artifact
from tests.app.audits import MODEL, OPTIONS, submit, write_judge, yolo_zip
from tests.app.services.audits.pausing_worker import IN_A_SHARD
from tests.conftest import ROOT
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import REPORTS, AuditJob, AuditJobs
from yoloscope.app.services.audits.options import OPEN_STATES
from yoloscope.app.services.audits.tables import JobRow, ShardRow
from yoloscope.app.services.audits.worker import Worker
from yoloscope.app.settings import Settings
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.audit import LabelAuditor
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.run import CHUNK, calibrate_on
from yoloscope.training.diagnostics.views import HeadsDetector

UNCALIBRATED = "uncalibrated"
IMAGES = 3 * CHUNK + 2
MANY = 7 * CHUNK
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_judge(tmp_path_factory.mktemp("models")).parent
    write_tiny_artifact(folder / f"{UNCALIBRATED}.onnx")
    return folder


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, url: str) -> Settings:
    return Settings(
        models_dir=models_dir,
        model=MODEL,
        provider="cpu",
        threads=1,
        audits_dir=tmp_path,
        audit_lease_s=2,
        database_url=url,
    )


@pytest.fixture
def jobs(database: Database) -> AuditJobs:
    return AuditJobs(database, 9)


@pytest.fixture
def work(settings: Settings, database: Database) -> Callable[..., None]:
    """Work, with other settings, until there is nothing to claim or to help at."""

    def work(**changes: object) -> None:
        Worker(settings.model_copy(update=changes), database, Event(), idle_s=0).run()

    return work


def reports(jobs: AuditJobs, job: AuditJob) -> list[bytes]:
    return [b"".join(jobs.report(job.id, name)) for name in REPORTS]


class Judged:
    """The images of each call of the auditor, in order; before the call ``at`` comes from 0 on, something happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        self.events: dict[int, Callable[[], object]] = {}
        audit = LabelAuditor.audit

        def watched(auditor: LabelAuditor, images: Sequence[LabeledImage], root: Path) -> list[ImageAudit]:
            number = len(self.calls)
            self.calls.append([image.path.stem for image in images])
            self.events.get(number, lambda: None)()
            return audit(auditor, images, root)

        monkeypatch.setattr(LabelAuditor, "audit", watched)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judged:
    return Judged(monkeypatch)


def chunks(images: int) -> list[list[str]]:
    names = [f"{number:03d}" for number in range(images)]
    return [names[start : start + CHUNK] for start in range(0, images, CHUNK)]


def test_a_helper_judges_what_the_owner_does_not_and_the_report_is_the_same(
    jobs: AuditJobs, work: Callable[..., None], judged: Judged
) -> None:
    alone = submit(jobs, yolo_zip(IMAGES))
    work()
    judged.calls.clear()
    judged.events = {0: work}  # while the owner is at its first shard
    job = submit(jobs, yolo_zip(IMAGES))
    work()
    assert judged.calls == chunks(IMAGES)
    view = jobs.get(job.id)
    assert (view.state, view.done, view.total) == ("done", IMAGES, IMAGES)
    assert reports(jobs, job) == reports(jobs, alone)


def test_leases_of_owner_and_helper_are_kept_while_images_are_at_work(
    database: Database, jobs: AuditJobs, work: Callable[..., None], judged: Judged
) -> None:
    left_s: list[float] = []

    def look() -> None:
        time.sleep(2.5)
        with database.read() as session:
            now = database.now(session)
            held = session.scalars(select(ShardRow).where(ShardRow.lease_until.is_not(None), ~ShardRow.done))
            left_s.extend((shard.lease_until or 0.0) - now for shard in held)

    judged.events = {0: lambda: work(audit_lease_s=1.0), 1: look}
    job = submit(jobs, yolo_zip(IMAGES))
    work(audit_lease_s=1.0)
    assert len(left_s) == 2
    assert min(left_s) > 0
    assert jobs.get(job.id).state == "done"


def test_a_calibration_is_fitted_once_by_the_owner(
    jobs: AuditJobs, work: Callable[..., None], judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS.replace(MODEL, UNCALIBRATED)
    alone = submit(jobs, yolo_zip(IMAGES), options=options)
    work()
    judged.calls.clear()
    judged.events = {0: work}
    fitted: list[str] = []

    def fit(
        detect_for: Callable[[LabeledImage], HeadsDetector], dataset: DetectionDataset, name: str
    ) -> AuditCalibration:
        fitted.append(name)
        return calibrate_on(detect_for, dataset, name)

    monkeypatch.setattr("yoloscope.app.services.audits.run.calibrate_on", fit)
    job = submit(jobs, yolo_zip(IMAGES), options=options)
    work()
    assert fitted == ["cells"]
    assert judged.calls == chunks(IMAGES)
    assert reports(jobs, job) == reports(jobs, alone)


def test_a_helper_leaves_for_a_job_that_nobody_has_and_comes_back(
    jobs: AuditJobs, work: Callable[..., None], judged: Judged
) -> None:
    later: list[AuditJob] = []
    judged.events = {0: work, 1: lambda: later.append(submit(jobs, yolo_zip(1)))}
    job = submit(jobs, yolo_zip(IMAGES))
    work()
    assert judged.calls == [*chunks(IMAGES)[:2], ["000"], *chunks(IMAGES)[2:]]
    assert [jobs.get(one.id).state for one in (job, *later)] == ["done", "done"]


def test_a_canceled_job_stops_owner_and_helper_after_the_images_at_work(
    jobs: AuditJobs, work: Callable[..., None], judged: Judged
) -> None:
    job = submit(jobs, yolo_zip(IMAGES))
    judged.events = {0: work, 2: lambda: jobs.cancel(job.id)}
    work()
    assert judged.calls == chunks(IMAGES)[:3]
    assert (jobs.get(job.id).state, jobs.get(job.id).done) == ("cancelled", CHUNK)


@pytest.mark.parametrize("model", ["another", "none"])
def test_a_worker_with_another_model_or_none_does_not_help(
    tmp_path: Path,
    models_dir: Path,
    jobs: AuditJobs,
    work: Callable[..., None],
    judged: Judged,
    caplog: pytest.LogCaptureFixture,
    model: str,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if model == "another":
        other = onnx.load(models_dir / f"{MODEL}.onnx")
        other.doc_string = "trained on other images"
        onnx.save(other, elsewhere / f"{MODEL}.onnx")
    caplog.set_level("INFO", "yoloscope")
    judged.events = {0: lambda: work(models_dir=elsewhere)}
    job = submit(jobs, yolo_zip(IMAGES))
    work()
    assert judged.calls == chunks(IMAGES)
    assert jobs.get(job.id).state == "done"
    assert f"audit {job.id}: no more help" in caplog.text


def test_what_fails_in_a_helper_is_left_to_the_owner(
    jobs: AuditJobs, work: Callable[..., None], judged: Judged
) -> None:
    def fail() -> None:
        raise DatasetError("expected an image, got none here")

    judged.events = {0: work, 1: fail}
    job = submit(jobs, yolo_zip(IMAGES))
    work(audit_lease_s=1.0)
    assert jobs.get(job.id).state == "done"
    assert sorted(judged.calls) == sorted([*chunks(IMAGES), chunks(IMAGES)[1]])


@contextmanager
def pausing_worker(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.app.services.audits.pausing_worker", str(settings.audits_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(settings.model_dump_json() + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def wait_for_its_second_shard(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == IN_A_SHARD


def shards_of(database: Database, job: AuditJob) -> dict[int, list[ShardRow]]:
    """The shards of a job by the process that has or had them; 0: none."""
    found: dict[int, list[ShardRow]] = {}
    with database.read() as session:
        for shard in session.scalars(select(ShardRow).where(ShardRow.job_id == job.id)):
            pid = int(shard.claimed_by.split(":")[1]) if shard.claimed_by else 0
            found.setdefault(pid, []).append(shard)
        session.expunge_all()
    return found


def let_leases_run_out(database: Database, pid: int) -> None:
    with database.write() as session:
        for table in (JobRow, ShardRow):
            owned = table.claimed_by.contains(f":{pid}:") & table.lease_until.is_not(None)
            session.execute(update(table).where(owned).values(lease_until=1.0))


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize("dies", ["owner", "helper"])
def test_a_worker_killed_in_a_shard_costs_that_shard_alone_and_no_byte(
    settings: Settings, database: Database, jobs: AuditJobs, work: Callable[..., None], dies: str
) -> None:
    alone = submit(jobs, yolo_zip(MANY))
    work()
    job = submit(jobs, yolo_zip(MANY))
    patient = settings.model_copy(update={"audit_lease_s": 600.0})
    with pausing_worker(patient) as owner:
        wait_for_its_second_shard(owner)
        with pausing_worker(patient) as helper:
            wait_for_its_second_shard(helper)
            killed = owner if dies == "owner" else helper
            killed.kill()
            killed.wait()
            (lost,) = (shard.first for shard in shards_of(database, job)[killed.pid] if not shard.done)
            let_leases_run_out(database, killed.pid)
            (settings.audits_dir / "go").touch()
            deadline = time.monotonic() + LIMIT_S
            while jobs.get(job.id).state in OPEN_STATES:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    view = jobs.get(job.id)
    assert (view.state, view.done, view.total) == ("done", MANY, MANY)
    assert reports(jobs, job) == reports(jobs, alone)
    shards = shards_of(database, job)
    assert shards.keys() == {owner.pid, helper.pid}
    attempts = {shard.first: shard.attempts for found in shards.values() for shard in found}
    assert attempts == {first: 1 + (first == lost) for first in range(0, MANY, CHUNK)}
