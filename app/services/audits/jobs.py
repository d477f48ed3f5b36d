"""Audit jobs as their clients see them: submitted, listed, canceled and deleted; findings by page, and reports."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.files import delete_archive, read_parts, store_archive
from yoloscope.app.services.audits.options import OPEN_STATES, PHASES, STATES, JobPhase, JobState
from yoloscope.app.services.audits.tables import ARCHIVE, FilePart, FindingRow, JobRow, storable
from yoloscope.models.errors import BusyError, JobNotFoundError, JobStateError, RequestError
from yoloscope.training.diagnostics.findings import FindingKind

REPORTS: Final = ("report.json", "report.csv", "report.html")


@dataclass(frozen=True)
class AuditJob:
    """State of a job; times in seconds since 1970, ``options`` as JSON."""

    id: str
    number: int
    name: str
    options: str
    state: JobState
    phase: JobPhase
    done: int
    total: int | None
    eta_s: float | None
    error: str | None
    created_at: float
    finished_at: float | None


@dataclass(frozen=True)
class FindingsPage:
    """Findings as JSON, the most probable first; ``cursor`` leads to the next page, None after the last."""

    findings: list[str]
    cursor: str | None


@dataclass(frozen=True)
class Submission:
    """A zip that was checked, its ``name``, the ``options`` as JSON, and the key under which it may come again."""

    file: BinaryIO
    name: str
    options: str
    idempotency_key: str | None

    def fingerprint(self) -> str:
        """Return the SHA-256 of options and bytes."""
        self.file.seek(0)
        digest = hashlib.sha256(self.options.encode() + b"\0")
        while data := self.file.read(2**20):
            digest.update(data)
        return digest.hexdigest()


class AuditJobs:
    """Jobs in a database, of which at most ``most_open`` may be queued or running."""

    def __init__(self, database: Database, most_open: int) -> None:
        self._database = database
        self._most_open = most_open

    def check_room(self) -> None:
        """Raise BusyError if no more jobs are taken."""
        with self._database.read() as session:
            self._check_room(session)

    def is_known(self, idempotency_key: str) -> bool:
        """Return whether a job has this key."""
        with self._database.read() as session:
            return _by_key(session, idempotency_key) is not None

    def submit(self, submission: Submission) -> AuditJob:
        """Add a job, or return the one of the same key; raises RequestError where that one has other content.

        Raises BusyError where the queue is full.
        """
        fingerprint = submission.fingerprint()
        known = self._known(submission, fingerprint)
        if known is not None:
            return known
        self.check_room()
        job_id = uuid.uuid4().hex
        try:
            store_archive(self._database, job_id, submission.file)
            return self._add(submission, job_id, fingerprint)
        except IntegrityError:  # the same key came twice at once, and the other one was first
            delete_archive(self._database, job_id)
            found = self._known(submission, fingerprint)
            if found is None:
                raise
            return found
        except BaseException:
            delete_archive(self._database, job_id)
            raise

    def _known(self, submission: Submission, fingerprint: str) -> AuditJob | None:
        if submission.idempotency_key is None:
            return None
        with self._database.read() as session:
            job = _by_key(session, submission.idempotency_key)
            if job is None:
                return None
            if job.fingerprint != fingerprint:
                raise RequestError(
                    "expected the same zip and options as before under this Idempotency-Key, got others",
                    "/Idempotency-Key",
                )
            return _view(job)

    def _add(self, submission: Submission, job_id: str, fingerprint: str) -> AuditJob:
        with self._database.write() as session:
            self._database.wait_for_turn(session)
            self._check_room(session)
            job = JobRow(
                id=job_id,
                number=1 + (session.scalar(select(func.max(JobRow.number))) or 0),
                name=submission.name,
                options=submission.options,
                idempotency_key=submission.idempotency_key,
                fingerprint=fingerprint,
                state="queued",
                phase="ingest",
                created_at=self._database.now(session),
            )
            session.add(job)
            session.flush()
            return _view(job)

    def _check_room(self, session: Session) -> None:
        count = session.scalar(select(func.count()).where(JobRow.state.in_(OPEN_STATES))) or 0
        if count >= self._most_open:
            raise BusyError(f"expected fewer than {self._most_open} audits queued or running, got {count}; retry later")

    def get(self, job_id: str) -> AuditJob:
        """Return a job; raises JobNotFoundError."""
        with self._database.read() as session:
            return _view(_find(session, job_id))

    def list(self, limit: int, before: int | None, state: JobState | None) -> list[AuditJob]:
        """Return jobs, the newest first, those with a ``number`` below ``before`` alone where it is given."""
        query = select(JobRow).order_by(JobRow.number.desc(), JobRow.id).limit(limit)
        if before is not None:
            query = query.where(JobRow.number < before)
        if state is not None:
            query = query.where(JobRow.state == state)
        with self._database.read() as session:
            return [_view(job) for job in session.scalars(query)]

    def has_open(self) -> bool:
        """Return whether a job is queued or running."""
        with self._database.read() as session:
            return session.scalar(select(JobRow.id).where(JobRow.state.in_(OPEN_STATES)).limit(1)) is not None

    def cancel(self, job_id: str) -> AuditJob:
        """Stop a job after the images that are at work; what was found is kept. Raises JobStateError once it ended."""
        with self._database.write() as session:
            job = _find(session, job_id, lock=True)
            if job.state == "cancelled":
                return _view(job)
            if job.state not in OPEN_STATES:
                raise JobStateError(f"expected a job that is queued or running, got one that is {job.state}")
            job.state, job.claimed_by, job.lease_until = "cancelled", None, None
            job.finished_at = self._database.now(session)
            session.execute(delete(FilePart).where(FilePart.job_id == job_id, FilePart.name == ARCHIVE))
            return _view(job)

    def purge(self, job_id: str) -> None:
        """Delete a job in any state with all that belongs to it; raises JobNotFoundError."""
        with self._database.write() as session:
            job = _find(session, job_id, lock=True)
            session.execute(delete(FilePart).where(FilePart.job_id == job_id))
            session.delete(job)

    def findings(
        self, job_id: str, kind: FindingKind | None, class_name: str | None, cursor: str | None, limit: int
    ) -> FindingsPage:
        """Return findings of the images that are done, in the order of the report."""
        order = (FindingRow.probability.desc(), FindingRow.row, FindingRow.place)
        query = select(FindingRow).where(FindingRow.job_id == job_id).order_by(*order).limit(limit + 1)
        if kind is not None:
            query = query.where(FindingRow.kind == kind)
        if class_name is not None:
            query = query.where(FindingRow.class_name == storable(class_name))
        if cursor is not None:
            probability, row, place = _read_cursor(cursor)
            later = or_(FindingRow.row > row, and_(FindingRow.row == row, FindingRow.place > place))
            query = query.where(
                or_(FindingRow.probability < probability, and_(FindingRow.probability == probability, later))
            )
        with self._database.read() as session:
            _find(session, job_id)
            found = list(session.scalars(query))
            page = found[:limit]
            more = len(found) > limit
            return FindingsPage([finding.document for finding in page], _write_cursor(page[-1]) if more else None)

    def report(self, job_id: str, name: str) -> Iterator[bytes]:
        """Return the parts of one of ``REPORTS``; raises JobStateError while the job is not done."""
        job = self.get(job_id)
        if job.state != "done":
            raise JobStateError(f"expected a job that is done, got one that is {job.state}: it has no report")
        return read_parts(self._database, job_id, name)


def _by_key(session: Session, key: str) -> JobRow | None:
    return session.scalar(select(JobRow).where(JobRow.idempotency_key == key))


def _find(session: Session, job_id: str, *, lock: bool = False) -> JobRow:
    job = session.get(JobRow, job_id, with_for_update=lock or None)
    if job is None:
        raise JobNotFoundError(f"expected the id of a job, got {job_id[:40]!r}: there is none, or it was deleted")
    return job


def _view(job: JobRow) -> AuditJob:
    left = None if job.total is None or job.state not in OPEN_STATES else job.total - job.done
    return AuditJob(
        id=job.id,
        number=job.number,
        name=job.name,
        options=job.options,
        state=next(state for state in STATES if state == job.state),
        phase=next(phase for phase in PHASES if phase == job.phase),
        done=job.done or 0,
        total=job.total,
        eta_s=None if left is None or job.seconds_per_image is None else round(left * job.seconds_per_image, 1),
        error=job.error,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def _write_cursor(finding: FindingRow) -> str:
    text = f"{finding.probability.hex()}:{finding.row}:{finding.place}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, int, int]:
    try:
        probability, row, place = base64.urlsafe_b64decode(cursor.encode()).decode().split(":")
        position = float.fromhex(probability), int(row), int(place)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise RequestError(f"expected the cursor of an answer, got {cursor[:60]!r}", "/cursor") from error
    if not (0 <= position[0] <= 1 and 0 <= position[1] < 2**31 and 0 <= position[2] < 2**31):
        raise RequestError(f"expected the cursor of an answer, got {cursor[:60]!r}", "/cursor")
    return position
