"""Queue of audit jobs: claims under a lease, and steps that only the holder of the lease may do."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.files import PART_BYTES, read_parts
from yoloscope.app.services.audits.options import JobPhase
from yoloscope.app.services.audits.tables import ARCHIVE, FilePart, FindingRow, ImageRow, JobRow, ShardRow, storable
from yoloscope.models.errors import JobNotFoundError, JobStateError
from yoloscope.training.diagnostics.findings import ImageAudit

MOST_ATTEMPTS: Final = 8
"""Claims in a row without one more image done, after which a job fails: it ends the process that works on it."""


@dataclass(frozen=True)
class ClaimedJob:
    """A job as a worker gets it; ``options`` and ``calibration`` are JSON."""

    id: str
    name: str
    options: str
    calibration: str | None


def worker_name() -> str:
    """Return a name for a process that no other one has, on this machine or another."""
    return f"{socket.gethostname()[:50]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class JobQueue:
    """The jobs of a database as one ``worker`` sees them.

    A claim holds for ``lease_s`` from the last ``heartbeat``; then the job is anybody's. All that is written for a job
    is written under its claim: JobNotFoundError is raised once it was deleted, JobStateError once it was canceled or
    another worker has it.
    """

    def __init__(self, database: Database, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease_s = lease_s

    def claim(self) -> ClaimedJob | None:
        """Take the oldest job that is queued or whose lease ran out; None where there is none.

        PostgreSQL skips rows that another process is taking (SKIP LOCKED); SQLite has one writer at a time.
        """
        with self._database.write() as session:
            now = self._database.now(session)
            query = (
                select(JobRow).where(_is_free(now)).order_by(JobRow.number).limit(1).with_for_update(skip_locked=True)
            )
            job = session.scalar(query)
            if job is None:
                return None
            job.attempts += 1
            if job.attempts > MOST_ATTEMPTS:
                end_job(session, job, "failed", now, f"the worker ended {MOST_ATTEMPTS} times while it was at this job")
                return None
            job.state = "running"
            job.claimed_by = self._worker
            job.lease_until = now + self._lease_s
            job.started_at = job.started_at or now
            return ClaimedJob(job.id, job.name, job.options, job.calibration)

    def heartbeat(self, job_id: str) -> None:
        """Extend the lease."""
        with self._database.write() as session:
            self._own(session, job_id)

    def release(self, job_id: str) -> None:
        """Give a job back, for any worker to go on with at once; that is no failed attempt."""
        with self._database.write() as session:
            job = self._own(session, job_id)
            job.state, job.claimed_by, job.lease_until = "queued", None, None
            job.attempts = max(job.attempts - 1, 0)

    def has_free(self) -> bool:
        """Return whether there is a job to claim."""
        with self._database.read() as session:
            return session.scalar(select(JobRow.id).where(_is_free(self._database.now(session))).limit(1)) is not None

    def set_phase(self, job_id: str, phase: JobPhase, total: int | None = None) -> None:
        """State what a job is at, and how many images it has once that is known."""
        with self._database.write() as session:
            job = self._own(session, job_id)
            job.phase = phase
            job.total = job.total if total is None else total

    def set_calibration(self, job_id: str, calibration: str) -> None:
        """Keep the calibration that was fitted for a job."""
        with self._database.write() as session:
            self._own(session, job_id).calibration = calibration

    def set_conditions(self, job_id: str, conditions: str) -> bool:
        """State what the results depend on; those of other conditions are dropped, and False is returned."""
        with self._database.write() as session:
            job = self._own(session, job_id)
            same = job.conditions in (None, conditions)
            if not same:
                session.execute(delete(FindingRow).where(FindingRow.job_id == job_id))
                session.execute(delete(ImageRow).where(ImageRow.job_id == job_id))
                session.execute(delete(ShardRow).where(ShardRow.job_id == job_id))
                job.done, job.calibration = 0, None
            job.conditions = conditions
            return same

    def split(self, job_id: str, total: int, size: int) -> None:
        """Let workers judge the ``total`` images of a job in shards of ``size``; those that are there already stay."""
        with self._database.write() as session:
            job = self._own(session, job_id)
            job.phase, job.total = "score", total
            if session.scalar(select(ShardRow.first).where(ShardRow.job_id == job_id).limit(1)) is not None:
                return
            # by a version without shards
            judged = set(session.scalars(select(ImageRow.row).where(ImageRow.job_id == job_id)))
            shards = [
                {"job_id": job_id, "first": first, "end": min(first + size, total), "done": first in judged}
                for first in range(0, total, size)
            ]
            session.execute(insert(ShardRow), shards)

    def audits(self, job_id: str) -> Iterator[ImageAudit]:
        """Yield the audits of all images that are done, in the order of their rows."""
        with self._database.read() as session:
            query = select(ImageRow.audit).where(ImageRow.job_id == job_id).order_by(ImageRow.row)
            for line in session.scalars(query.execution_options(yield_per=200)):
                yield ImageAudit.from_json(line)

    def read_archive(self, job_id: str) -> Iterator[bytes]:
        """Yield the uploaded zip in pieces."""
        return read_parts(self._database, job_id, ARCHIVE)

    def begin_file(self, job_id: str, name: str) -> None:
        """Drop what an interrupted attempt wrote of a file."""
        with self._database.write() as session:
            self._own(session, job_id)
            session.execute(delete(FilePart).where(FilePart.job_id == job_id, FilePart.name == name))

    def add_part(self, job_id: str, name: str, position: int, data: bytes) -> None:
        """Add a part of at most ``PART_BYTES`` to a file of a job."""
        assert len(data) <= PART_BYTES
        with self._database.write() as session:
            self._own(session, job_id)
            now = self._database.now(session)
            session.add(FilePart(job_id=job_id, name=name, position=position, created_at=now, data=data))

    def finish(self, job_id: str) -> None:
        """End a job whose reports are stored, and delete its archive."""
        with self._database.write() as session:
            end_job(session, self._own(session, job_id), "done", self._database.now(session), None)

    def fail(self, job_id: str, error: str) -> None:
        """End a job that cannot be done, with the reason for its client, and delete its archive."""
        with self._database.write() as session:
            end_job(session, self._own(session, job_id), "failed", self._database.now(session), error)

    def _own(self, session: Session, job_id: str) -> JobRow:
        """Extend the lease of a job and return it; the row is locked until the transaction ends."""
        now = self._database.now(session)
        result = session.execute(
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.claimed_by == self._worker, JobRow.state == "running")
            .values(lease_until=now + self._lease_s)
        )
        assert isinstance(result, CursorResult)
        job = session.get(JobRow, job_id)
        if job is None:
            raise JobNotFoundError(f"expected the job {job_id}, got none: it was deleted")
        if result.rowcount != 1:
            raise JobStateError(f"expected the job {job_id} to be at work here, got it {job.state} or elsewhere")
        return job


def _is_free(now: float) -> ColumnElement[bool]:
    """Return the condition of a job that nobody is at."""
    return or_(JobRow.state == "queued", (JobRow.state == "running") & (JobRow.lease_until < now))


def end_job(session: Session, job: JobRow, state: str, now: float, error: str | None) -> None:
    """Let a job end in a state, and delete its archive."""
    job.state, job.finished_at = state, now
    job.error = None if error is None else storable(error)
    job.claimed_by = job.lease_until = None
    session.execute(delete(FilePart).where(FilePart.job_id == job.id, FilePart.name == ARCHIVE))
