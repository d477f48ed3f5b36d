"""Jobs as clients see them: keys that make a request idempotent, limits, pages, and deletion."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from tests.app.audits import OPTIONS, image_audit, split, submit
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import AuditJobs
from yoloscope.app.services.audits.queue import JobQueue
from yoloscope.app.services.audits.shards import ShardQueue
from yoloscope.app.services.audits.tables import FilePart, FindingRow, ImageRow, ShardRow
from yoloscope.models.errors import BusyError, JobNotFoundError, JobStateError, RequestError


@pytest.fixture
def jobs(database: Database) -> AuditJobs:
    return AuditJobs(database, most_open=6)


@pytest.fixture
def found(database: Database, jobs: AuditJobs) -> str:
    """A job at work with findings on three images."""
    job = submit(jobs)
    queue = JobQueue(database, "worker", 60)
    queue.claim()
    audits = [
        image_audit("a", ("class", 0.5), ("spurious", 0.9)),
        image_audit("b", ("class", 0.5), ("class", 0.5)),
        image_audit("c", ("missing", 0.9)),
    ]
    split(queue, job.id, len(audits))
    workers = [ShardQueue(database, name, 60) for name in "abc"]
    shards = [worker.claim(job.id, "a model") for worker in workers]
    for worker, shard in reversed(list(zip(workers, shards, strict=True))):
        assert shard
        worker.checkpoint(job.id, shard, audits[shard.first : shard.end], 1.0)
    return job.id


ORDER = [("a", 1), ("c", 0), ("a", 0), ("b", 0), ("b", 1)]
"""Image and label of those findings: by probability, then by image and label."""


def count(database: Database, table: type[FilePart | FindingRow | ImageRow | ShardRow]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


class TestIdempotencyKey:
    def test_the_same_request_is_the_same_job(self, database: Database, jobs: AuditJobs) -> None:
        first = submit(jobs, b"PK1", "key")
        assert jobs.is_known("key")
        assert not jobs.is_known("other")
        assert submit(jobs, b"PK1", "key") == first
        assert submit(jobs, b"PK1", "other").id != first.id
        assert submit(jobs, b"PK1").id != submit(jobs, b"PK1").id
        assert count(database, FilePart) == 4

    @pytest.mark.parametrize(("data", "options"), [(b"PK2", OPTIONS), (b"PK1", OPTIONS.replace("0.05", "0.06"))])
    def test_another_request_under_the_same_key_is_refused(self, jobs: AuditJobs, data: bytes, options: str) -> None:
        submit(jobs, b"PK1", "key")
        with pytest.raises(RequestError, match="the same zip and options"):
            submit(jobs, data, "key", options)

    def test_requests_at_once_are_one_job(self, database: Database, jobs: AuditJobs) -> None:
        with ThreadPoolExecutor(4) as threads:
            ids = {job.id for job in threads.map(lambda _: submit(jobs, b"PK1", "key"), range(4))}
        assert len(ids) == 1
        assert count(database, FilePart) == 1

    def test_a_key_is_free_again_once_its_job_is_deleted(self, jobs: AuditJobs) -> None:
        first = submit(jobs, b"PK1", "key")
        jobs.purge(first.id)
        assert submit(jobs, b"PK2", "key").id != first.id

    def test_a_full_queue_gives_the_known_job(self, jobs: AuditJobs) -> None:
        first = submit(jobs, b"PK1", "key")
        for _ in range(5):
            submit(jobs)
        assert submit(jobs, b"PK1", "key") == first


def test_a_full_queue_is_busy_until_a_job_ends(database: Database, jobs: AuditJobs) -> None:
    ids = [submit(jobs).id for _ in range(6)]
    with pytest.raises(BusyError, match="fewer than 6 audits"):
        jobs.check_room()
    with pytest.raises(BusyError):
        submit(jobs)
    assert count(database, FilePart) == 6
    jobs.cancel(ids[3])
    submit(jobs)


def test_jobs_are_listed_by_page_the_newest_first(jobs: AuditJobs) -> None:
    ids = [submit(jobs).id for _ in range(5)]
    first = jobs.list(3, None, None)
    assert [job.id for job in first] == ids[:1:-1]
    assert [job.id for job in jobs.list(3, first[-1].number, None)] == ids[1::-1]
    jobs.cancel(ids[2])
    assert [job.id for job in jobs.list(9, None, "cancelled")] == [ids[2]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_pages_of_findings_join_to_the_order_of_the_report(jobs: AuditJobs, found: str, limit: int) -> None:
    cursor, seen = None, []
    while True:
        page = jobs.findings(found, None, None, cursor, limit)
        seen += [(document["image"], document["label_index"]) for document in map(json.loads, page.findings)]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.findings) == limit
    assert seen == ORDER


def test_findings_are_chosen_by_kind_and_class(jobs: AuditJobs, found: str) -> None:
    assert len(jobs.findings(found, "class", None, None, 9).findings) == 3
    assert len(jobs.findings(found, "missing", "dog", None, 9).findings) == 1
    assert jobs.findings(found, "missing", "cat", None, 9).findings == []


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "MHgxcDA6MTox" * 3, "bmFuOjA6MA==", "MHgxcDA6OTk5OTk5OTk5OTk6MA=="]
)
def test_a_made_up_cursor_is_refused(jobs: AuditJobs, found: str, cursor: str) -> None:
    with pytest.raises(RequestError, match="expected the cursor of an answer"):
        jobs.findings(found, None, None, cursor, 9)


def test_a_deleted_job_leaves_nothing(database: Database, jobs: AuditJobs, found: str) -> None:
    assert count(database, FindingRow) == 5
    jobs.purge(found)
    assert [count(database, table) for table in (FilePart, FindingRow, ImageRow, ShardRow)] == [0, 0, 0, 0]
    for call in (jobs.get, jobs.purge, jobs.cancel):
        with pytest.raises(JobNotFoundError):
            call(found)


def test_a_canceled_job_keeps_its_findings_and_has_no_report(jobs: AuditJobs, found: str) -> None:
    assert jobs.cancel(found).finished_at is not None
    assert jobs.cancel(found).state == "cancelled"
    assert len(jobs.findings(found, None, None, None, 9).findings) == 5
    with pytest.raises(JobStateError, match="cancelled: it has no report"):
        jobs.report(found, "report.json")


def test_only_an_open_job_is_canceled(database: Database, jobs: AuditJobs, found: str) -> None:
    assert jobs.has_open()
    JobQueue(database, "worker", 60).finish(found)
    with pytest.raises(JobStateError, match="got one that is done"):
        jobs.cancel(found)
    assert not jobs.has_open()
