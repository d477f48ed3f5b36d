"""Files of jobs in the database, in parts: replicas on one database need no shared folder, and none is held whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from sqlalchemy import delete, select

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.tables import ARCHIVE, FilePart, JobRow

PART_BYTES: Final = 1024 * 1024
_ABANDONED_S: Final = 24 * 3600.0
"""Age of parts without a job, left by an upload that was cut off while it was stored, at which they are deleted."""


def store_archive(database: Database, job_id: str, file: BinaryIO) -> None:
    """Store the zip of a job that is yet to be added, part by part."""
    file.seek(0)
    position = 0
    while data := file.read(PART_BYTES):
        with database.write() as session:
            now = database.now(session)
            if position == 0:
                known = select(JobRow.id)
                stale = (FilePart.created_at < now - _ABANDONED_S) & FilePart.job_id.not_in(known)
                session.execute(delete(FilePart).where(stale))
            session.add(FilePart(job_id=job_id, name=ARCHIVE, position=position, created_at=now, data=data))
        position += 1


def delete_archive(database: Database, job_id: str) -> None:
    """Delete the zip of a job."""
    with database.write() as session:
        session.execute(delete(FilePart).where(FilePart.job_id == job_id, FilePart.name == ARCHIVE))


def read_parts(database: Database, job_id: str, name: str) -> Iterator[bytes]:
    """Yield the parts of a file in order, each in a transaction of its own; nothing where it is not there."""
    position = 0
    while True:
        with database.read() as session:
            data = session.scalar(
                select(FilePart.data).where(
                    FilePart.job_id == job_id, FilePart.name == name, FilePart.position == position
                )
            )
        if data is None:
            return
        yield data
        position += 1
