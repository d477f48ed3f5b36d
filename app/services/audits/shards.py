"""Shards of audit jobs: a few images that one worker judges under a lease, so that several workers share one job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.options import OPEN_STATES
from yoloscope.app.services.audits.queue import MOST_ATTEMPTS, ClaimedJob, end_job
from yoloscope.app.services.audits.tables import FindingRow, ImageRow, JobRow, ShardRow, storable
from yoloscope.models.errors import JobNotFoundError, JobStateError
from yoloscope.training.diagnostics.findings import ImageAudit, finding_to_dict, json_text, sorted_findings


@dataclass(frozen=True)
class Shard:
    """The images of a job whose rows are ``first`` to ``end`` - 1."""

    first: int
    end: int


class ShardQueue:
    """The shards of all jobs as one ``worker`` sees them; it need not have the claim on their job.

    A claim holds for ``lease_s`` from the last ``heartbeat``; then the shard is anybody's. All calls that name a job
    raise JobNotFoundError once it was deleted, JobStateError once it was canceled or has ended.
    """

    def __init__(self, database: Database, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease_s = lease_s

    def find_job(self, besides: Collection[str]) -> ClaimedJob | None:
        """Return the oldest job at work, none of ``besides``, that has a shard nobody is at; it is not claimed."""
        with self._database.read() as session:
            free = (ShardRow.job_id == JobRow.id) & self._is_free(self._database.now(session))
            query = (
                select(JobRow)
                .where(JobRow.state == "running", JobRow.id.not_in(besides), exists().where(free))
                .order_by(JobRow.number)
                .limit(1)
            )
            job = session.scalar(query)
            return None if job is None else ClaimedJob(job.id, job.name, job.options, job.calibration)

    def claim(self, job_id: str, conditions: str) -> Shard | None:
        """Take the first shard that is not done and nobody is at, None where there is none.

        Raises JobStateError where the job's results depend on other ``conditions``: another model judges there.
        """
        with self._database.write() as session:
            job = _open_job(session, job_id)
            if job.conditions != conditions:
                raise JobStateError(f"expected the model that judges the job {job_id} elsewhere, got another one here")
            now = self._database.now(session)
            query = select(ShardRow).where(ShardRow.job_id == job_id, self._is_free(now))
            shard = session.scalar(query.order_by(ShardRow.first).limit(1))
            if shard is None:
                return None
            shard.attempts += 1
            if shard.attempts > MOST_ATTEMPTS:
                images = f"images {shard.first + 1} to {shard.end}"
                end_job(session, job, "failed", now, f"workers ended {MOST_ATTEMPTS} times while they were at {images}")
                return None
            shard.claimed_by, shard.lease_until = self._worker, now + self._lease_s
            return Shard(shard.first, shard.end)

    def heartbeat(self, job_id: str) -> None:
        """Extend the lease of what this worker is at."""
        with self._database.write() as session:
            _open_job(session, job_id)
            session.execute(
                update(ShardRow)
                .where(ShardRow.job_id == job_id, ShardRow.claimed_by == self._worker, ~ShardRow.done)
                .values(lease_until=self._database.now(session) + self._lease_s)
            )

    def checkpoint(self, job_id: str, shard: Shard, audits: Sequence[ImageAudit], took_s: float) -> None:
        """Store the audits of a shard in one transaction; raises JobStateError where another worker has it."""
        rows = range(shard.first, shard.end)
        images = [
            {"job_id": job_id, "row": row, "audit": audit.to_json()} for row, audit in zip(rows, audits, strict=True)
        ]
        findings = [
            {
                "job_id": job_id,
                "row": row,
                "place": place,
                "probability": finding.probability,
                "kind": finding.kind,
                "class_name": storable(finding.class_name),
                "document": json_text(finding_to_dict(finding)),
            }
            for row, audit in zip(rows, audits, strict=True)
            for place, finding in enumerate(sorted_findings(audit.findings))
        ]
        with self._database.write() as session:
            job = _open_job(session, job_id)
            own = session.get(ShardRow, (job_id, shard.first))
            if own is None or own.done or own.claimed_by != self._worker:
                raise JobStateError(f"expected images of the job {job_id} to be at work here, got them elsewhere")
            session.execute(insert(ImageRow), images)
            if findings:
                session.execute(insert(FindingRow), findings)
            newest = took_s / len(images) / self._workers(session, job_id)
            known = job.seconds_per_image
            job.seconds_per_image = newest if known is None else 0.8 * known + 0.2 * newest
            job.done += len(images)
            job.attempts = 0
            own.done, own.lease_until = True, None

    def are_done(self, job_id: str) -> bool:
        """Return whether all shards of a job are done."""
        with self._database.read() as session:
            query = select(ShardRow.first).where(ShardRow.job_id == job_id, ~ShardRow.done).limit(1)
            return session.scalar(query) is None

    def _is_free(self, now: float) -> ColumnElement[bool]:
        nobodys = or_(ShardRow.claimed_by.is_(None), ShardRow.claimed_by == self._worker, ShardRow.lease_until < now)
        return ~ShardRow.done & nobodys

    def _workers(self, session: Session, job_id: str) -> int:
        """Return how many workers are at the shards of a job, this one among them."""
        held = (ShardRow.job_id == job_id) & ~ShardRow.done & (ShardRow.lease_until >= self._database.now(session))
        return session.scalar(select(func.count(func.distinct(ShardRow.claimed_by))).where(held)) or 1


def _open_job(session: Session, job_id: str) -> JobRow:
    """Return a job that is queued or running; its row is locked until the transaction ends."""
    job = session.get(JobRow, job_id, with_for_update=True)
    if job is None:
        raise JobNotFoundError(f"expected the job {job_id}, got none: it was deleted")
    if job.state not in OPEN_STATES:
        raise JobStateError(f"expected the job {job_id} to be at work, got it {job.state}")
    return job
