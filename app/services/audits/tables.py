"""Tables of audit jobs: jobs and their shards with leases, files in parts, and the results of each image."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Float, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from yoloscope.models.files import encodable

SCHEMA_VERSION: Final = 2
"""Raised with every change of the tables; a database of a higher version is refused."""

ARCHIVE: Final = "archive"
"""Name of the uploaded zip among the files of a job; it is deleted when the job ends."""


def storable(text: str) -> str:
    """Return a text that every database can hold: lone surrogates and NUL as escapes."""
    return encodable(text).replace("\0", "\\u0000")


class Base(DeclarativeBase):
    """Base of the tables."""


class SchemaRow(Base):
    """Version of the tables in this database: one row."""

    __tablename__ = "yoloscope_schema"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


class JobRow(Base):
    """One audit. Times are seconds since 1970 by the clock of the database's server (of this machine for SQLite)."""

    __tablename__ = "yoloscope_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, index=True)
    name: Mapped[str] = mapped_column(Text)
    options: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    phase: Mapped[str] = mapped_column(String(16))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float(53))
    started_at: Mapped[float | None] = mapped_column(Float(53))
    finished_at: Mapped[float | None] = mapped_column(Float(53))
    seconds_per_image: Mapped[float | None] = mapped_column(Float(53))
    conditions: Mapped[str | None] = mapped_column(Text)
    calibration: Mapped[str | None] = mapped_column(Text)
    claimed_by: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[float | None] = mapped_column(Float(53))
    attempts: Mapped[int] = mapped_column(default=0)


class ShardRow(Base):
    """Images ``first`` to ``end`` - 1 of a job, which one worker judges at a time; ``claimed_by`` stays once done."""

    __tablename__ = "yoloscope_shards"

    job_id: Mapped[str] = mapped_column(ForeignKey(JobRow.id, ondelete="CASCADE"), primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True)
    end: Mapped[int]
    done: Mapped[bool] = mapped_column(default=False)
    claimed_by: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[float | None] = mapped_column(Float(53))
    attempts: Mapped[int] = mapped_column(default=0)


class FilePart(Base):
    """A piece of a file of a job; the file is its parts in order."""

    __tablename__ = "yoloscope_file_parts"

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[float] = mapped_column(Float(53))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImageRow(Base):
    """Result of one image: the checkpoint of a job. ``row`` is its place among the names of all images, sorted."""

    __tablename__ = "yoloscope_images"

    job_id: Mapped[str] = mapped_column(ForeignKey(JobRow.id, ondelete="CASCADE"), primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    audit: Mapped[str] = mapped_column(Text)


class FindingRow(Base):
    """One finding of an image, for lists; ``place`` is its place among those of the image."""

    __tablename__ = "yoloscope_findings"

    job_id: Mapped[str] = mapped_column(ForeignKey(JobRow.id, ondelete="CASCADE"), primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    probability: Mapped[float] = mapped_column(Float(53))
    kind: Mapped[str] = mapped_column(String(16))
    class_name: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("yoloscope_findings_order", "job_id", "probability", "row", "place"),)
