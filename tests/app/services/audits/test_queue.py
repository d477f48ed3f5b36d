"""The queue: one worker for a job, leases that run out, and steps that only the holder of a job may do."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import update

from tests.app.audits import image_audit, split, submit
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import AuditJobs
from yoloscope.app.services.audits.queue import MOST_ATTEMPTS, JobQueue
from yoloscope.app.services.audits.shards import ShardQueue
from yoloscope.app.services.audits.tables import JobRow
from yoloscope.models.errors import JobNotFoundError, JobStateError


@pytest.fixture
def jobs(database: Database) -> AuditJobs:
    return AuditJobs(database, most_open=100)


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, "one", lease_s=60)


@pytest.fixture
def other(database: Database) -> JobQueue:
    return JobQueue(database, "two", lease_s=60)


def let_lease_run_out(database: Database, job_id: str) -> None:
    with database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(lease_until=1.0))


def test_jobs_are_claimed_in_order_and_once(jobs: AuditJobs, queue: JobQueue, other: JobQueue) -> None:
    first, second = submit(jobs), submit(jobs)
    assert [claimed.id for claimed in (queue.claim(), other.claim()) if claimed] == [first.id, second.id]
    assert queue.claim() is None
    assert jobs.get(first.id).state == "running"


def test_many_workers_share_a_queue_without_doing_a_job_twice(database: Database, jobs: AuditJobs) -> None:
    expected = {submit(jobs).id for _ in range(12)}

    def work(name: str) -> list[str]:
        own = JobQueue(database, name, lease_s=60)
        done = []
        while job := own.claim():
            own.finish(job.id)
            done.append(job.id)
        return done

    with ThreadPoolExecutor(4) as threads:
        done = Counter(job_id for ids in threads.map(work, "abcd") for job_id in ids)
    assert done == dict.fromkeys(expected, 1)


def test_a_job_whose_lease_ran_out_goes_to_another_worker(
    database: Database, jobs: AuditJobs, queue: JobQueue, other: JobQueue
) -> None:
    job = submit(jobs)
    assert queue.claim()
    assert other.claim() is None
    let_lease_run_out(database, job.id)
    claimed = other.claim()
    assert claimed
    assert claimed.id == job.id
    writes: tuple[Callable[[], None], ...] = (
        lambda: queue.heartbeat(job.id),
        lambda: queue.set_phase(job.id, "report"),
        lambda: queue.split(job.id, 1, 1),
        lambda: queue.add_part(job.id, "report.json", 0, b"x"),
        lambda: queue.finish(job.id),
        lambda: queue.fail(job.id, "no"),
    )
    for write in writes:
        with pytest.raises(JobStateError):
            write()
    other.split(job.id, 1, 1)


def test_a_heartbeat_keeps_the_lease(database: Database, jobs: AuditJobs, queue: JobQueue, other: JobQueue) -> None:
    job = submit(jobs)
    queue.claim()
    let_lease_run_out(database, job.id)
    queue.heartbeat(job.id)
    assert other.claim() is None


def test_results_of_another_model_are_dropped(database: Database, jobs: AuditJobs, queue: JobQueue) -> None:
    job = submit(jobs)
    queue.claim()
    split(queue, job.id, 2)
    shards = ShardQueue(database, "one", 60)
    shard = shards.claim(job.id, "a model")
    assert shard
    shards.checkpoint(job.id, shard, [image_audit("a", ("class", 0.5))], 1.0)
    assert queue.set_conditions(job.id, "a model")
    assert [audit.image for audit in queue.audits(job.id)] == ["a"]
    assert not queue.set_conditions(job.id, "another one")
    assert list(queue.audits(job.id)) == []
    assert jobs.findings(job.id, None, None, None, 10).findings == []
    assert jobs.get(job.id).done == 0
    queue.split(job.id, 2, 1)
    assert shards.claim(job.id, "another one") == shard


def test_a_job_that_ends_its_workers_fails_in_the_end(database: Database, jobs: AuditJobs, queue: JobQueue) -> None:
    job = submit(jobs)
    for _ in range(MOST_ATTEMPTS):
        assert queue.claim()
        let_lease_run_out(database, job.id)
    assert queue.claim() is None
    view = jobs.get(job.id)
    assert view.state == "failed"
    assert view.error == f"the worker ended {MOST_ATTEMPTS} times while it was at this job"


def test_progress_and_a_stop_count_as_no_failed_attempt(database: Database, jobs: AuditJobs, queue: JobQueue) -> None:
    job = submit(jobs)
    shards = ShardQueue(database, "one", 60)
    for row in range(MOST_ATTEMPTS + 2):
        assert queue.claim()
        split(queue, job.id, MOST_ATTEMPTS + 2)
        shard = shards.claim(job.id, "a model")
        assert shard
        assert shard.first == row
        shards.checkpoint(job.id, shard, [image_audit(str(row))], 1.0)
        let_lease_run_out(database, job.id)
    for _ in range(MOST_ATTEMPTS + 2):
        assert queue.claim()
        queue.release(job.id)
    assert jobs.get(job.id).state == "queued"


@contextmanager
def left(queue: JobQueue, job_id: str, error: type[Exception]) -> Iterator[None]:
    yield
    with pytest.raises(error):
        queue.set_phase(job_id, "report")
    assert queue.claim() is None


def test_a_worker_may_not_write_to_a_canceled_or_deleted_job(jobs: AuditJobs, queue: JobQueue) -> None:
    job = submit(jobs)
    queue.claim()
    with left(queue, job.id, JobStateError):
        assert jobs.cancel(job.id).state == "cancelled"
    with left(queue, job.id, JobNotFoundError):
        jobs.purge(job.id)


def test_files_are_stored_in_parts_and_the_archive_goes_when_a_job_ends(jobs: AuditJobs, queue: JobQueue) -> None:
    job = submit(jobs, b"PK" + bytes(3_000_000))
    queue.claim()
    assert [len(part) for part in queue.read_archive(job.id)] == [1048576, 1048576, 902850]
    queue.begin_file(job.id, "report.json")
    queue.add_part(job.id, "report.json", 0, b"left by an interrupted attempt")
    queue.begin_file(job.id, "report.json")
    queue.add_part(job.id, "report.json", 0, b"{")
    queue.add_part(job.id, "report.json", 1, b"}")
    with pytest.raises(JobStateError, match="running"):
        jobs.report(job.id, "report.json")
    queue.finish(job.id)
    assert b"".join(jobs.report(job.id, "report.json")) == b"{}"
    assert list(queue.read_archive(job.id)) == []
