"""Shards: each judged by one worker at a time, taken over from the dead, and stopped with their job."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, update

from tests.app.audits import image_audit, split, submit
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import AuditJobs
from yoloscope.app.services.audits.queue import MOST_ATTEMPTS, JobQueue
from yoloscope.app.services.audits.shards import Shard, ShardQueue
from yoloscope.app.services.audits.tables import JobRow, ShardRow
from yoloscope.models.errors import JobNotFoundError, JobStateError

MODEL = "a model"
IMAGES = 10


@pytest.fixture
def jobs(database: Database) -> AuditJobs:
    return AuditJobs(database, most_open=100)


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, "owner", lease_s=60)


@pytest.fixture
def job_id(jobs: AuditJobs, queue: JobQueue) -> str:
    """A job of ten images in shards of four, claimed by "owner"."""
    job = submit(jobs)
    queue.claim()
    split(queue, job.id, IMAGES, 4)
    return job.id


@pytest.fixture
def one(database: Database) -> ShardQueue:
    return ShardQueue(database, "one", lease_s=60)


@pytest.fixture
def two(database: Database) -> ShardQueue:
    return ShardQueue(database, "two", lease_s=60)


def claimed(shards: ShardQueue, job_id: str) -> Shard:
    shard = shards.claim(job_id, MODEL)
    assert shard
    return shard


def judge(shards: ShardQueue, job_id: str, shard: Shard, took_s: float = 1.0) -> None:
    audits = [image_audit(f"{row:02d}", ("class", row / 100)) for row in range(shard.first, shard.end)]
    shards.checkpoint(job_id, shard, audits, took_s)


def let_leases_run_out(database: Database) -> None:
    with database.write() as session:
        session.execute(update(ShardRow).values(lease_until=1.0))


def test_shards_are_given_out_in_order_and_once(job_id: str, one: ShardQueue, two: ShardQueue) -> None:
    given = [claimed(one, job_id), claimed(two, job_id)]
    judge(one, job_id, given[0])
    given.append(claimed(one, job_id))
    assert given == [Shard(0, 4), Shard(4, 8), Shard(8, 10)]
    judge(one, job_id, given[2])
    assert one.claim(job_id, MODEL) is None
    assert not one.are_done(job_id)
    judge(two, job_id, given[1])
    assert one.are_done(job_id)


def test_many_workers_judge_each_image_once_and_results_are_in_order(
    database: Database, jobs: AuditJobs, queue: JobQueue
) -> None:
    job = submit(jobs)
    queue.claim()
    split(queue, job.id, 60, 2)

    def work(name: str) -> list[Shard]:
        own, done = ShardQueue(database, name, 60), []
        while shard := own.claim(job.id, MODEL):
            judge(own, job.id, shard)
            done.append(shard)
        return done

    with ThreadPoolExecutor(4) as threads:
        done = Counter(shard.first for shards in threads.map(work, "abcd") for shard in shards)
    assert done == dict.fromkeys(range(0, 60, 2), 1)
    assert [audit.image for audit in queue.audits(job.id)] == [f"{row:02d}" for row in range(60)]
    assert (jobs.get(job.id).done, jobs.get(job.id).total) == (60, 60)


def test_progress_is_that_of_all_workers(jobs: AuditJobs, job_id: str, one: ShardQueue, two: ShardQueue) -> None:
    first, second = claimed(one, job_id), claimed(two, job_id)
    judge(one, job_id, first, took_s=8.0)
    view = jobs.get(job_id)
    assert (view.phase, view.done, view.total) == ("score", 4, 10)
    assert view.eta_s == 6.0, "two workers, 2 s an image each"
    judge(two, job_id, second, took_s=4.0)
    view = jobs.get(job_id)
    assert (view.done, view.eta_s) == (8, 2.0)


def test_a_shard_whose_lease_ran_out_goes_to_another_worker(
    database: Database, job_id: str, one: ShardQueue, two: ShardQueue
) -> None:
    shard = claimed(one, job_id)
    let_leases_run_out(database)
    assert claimed(two, job_id) == shard
    with pytest.raises(JobStateError, match="got them elsewhere"):
        judge(one, job_id, shard)
    judge(two, job_id, shard)
    with pytest.raises(JobStateError):
        judge(two, job_id, shard)


def test_a_heartbeat_keeps_the_lease_and_a_worker_its_own_shard(
    database: Database, job_id: str, one: ShardQueue, two: ShardQueue
) -> None:
    shard = claimed(one, job_id)
    let_leases_run_out(database)
    one.heartbeat(job_id)
    assert claimed(two, job_id) != shard
    assert claimed(one, job_id) == shard


def test_results_outlive_the_owner_of_the_job_and_shards_at_work_go_on(
    database: Database, jobs: AuditJobs, queue: JobQueue, job_id: str, one: ShardQueue, two: ShardQueue
) -> None:
    judge(one, job_id, claimed(one, job_id))
    at_work = claimed(two, job_id)
    queue.release(job_id)
    judge(two, job_id, at_work)
    other = JobQueue(database, "another", 60)
    assert other.claim()
    split(other, job_id, IMAGES, 4)
    assert jobs.get(job_id).done == 8
    assert claimed(one, job_id) == Shard(8, 10)


def test_the_shards_of_a_job_of_before_there_were_shards(database: Database, queue: JobQueue, job_id: str) -> None:
    one = ShardQueue(database, "one", 60)
    judge(one, job_id, claimed(one, job_id))
    with database.write() as session:
        session.execute(delete(ShardRow))
    queue.split(job_id, IMAGES, 4)
    assert claimed(one, job_id) == Shard(4, 8)


@pytest.mark.parametrize("stop", [AuditJobs.cancel, AuditJobs.purge])
def test_a_canceled_or_deleted_job_stops_all_its_workers(
    jobs: AuditJobs, job_id: str, one: ShardQueue, two: ShardQueue, stop: Callable[[AuditJobs, str], object]
) -> None:
    held = [(worker, claimed(worker, job_id)) for worker in (one, two)]
    stop(jobs, job_id)
    for worker, shard in held:
        with pytest.raises((JobStateError, JobNotFoundError)):
            worker.heartbeat(job_id)
        with pytest.raises((JobStateError, JobNotFoundError)):
            judge(worker, job_id, shard)
        with pytest.raises((JobStateError, JobNotFoundError)):
            worker.claim(job_id, MODEL)
        assert worker.find_job([]) is None


def test_a_worker_with_another_model_gets_no_shard(job_id: str, one: ShardQueue) -> None:
    with pytest.raises(JobStateError, match="another one here"):
        one.claim(job_id, "another model")


def test_help_goes_to_the_oldest_job_that_has_shards_left(
    database: Database, jobs: AuditJobs, queue: JobQueue, job_id: str, one: ShardQueue
) -> None:
    later = submit(jobs)
    assert queue.has_free()
    queue.claim()
    assert not queue.has_free()
    split(queue, later.id, 1)
    found = one.find_job([])
    assert found
    assert found.id == job_id
    found = one.find_job([job_id])
    assert found
    assert found.id == later.id
    assert one.find_job([job_id, later.id]) is None
    for _ in range(3):
        judge(one, job_id, claimed(one, job_id))
    found = one.find_job([])
    assert found
    assert found.id == later.id
    with database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == later.id).values(state="queued"))
    assert one.find_job([]) is None
    assert queue.has_free()


def test_images_that_end_their_workers_fail_the_job_in_the_end(
    database: Database, jobs: AuditJobs, job_id: str, one: ShardQueue, two: ShardQueue
) -> None:
    for _ in range(MOST_ATTEMPTS):
        assert claimed(one, job_id) == Shard(0, 4)
        let_leases_run_out(database)
    assert two.claim(job_id, MODEL) is None
    view = jobs.get(job_id)
    assert view.state == "failed"
    assert view.error == f"workers ended {MOST_ATTEMPTS} times while they were at images 1 to 4"
