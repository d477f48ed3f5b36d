"""Findings of an audit on disk, in the order of reports: the memory of an audit does not grow with its data set."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, overload

from yoloscope.models.errors import OutputError
from yoloscope.training.diagnostics.findings import (
    Finding,
    ImageAudit,
    LabelFlag,
    finding_from_dict,
    finding_to_dict,
    flag_from_dict,
    flag_to_dict,
    json_text,
    sorted_findings,
)

Entry = TypeVar("Entry", Finding, LabelFlag)

_CACHE_KIB: Final = 16 * 1024
_SET_UP: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -{_CACHE_KIB};
CREATE TABLE findings (probability REAL, image BLOB, place INTEGER, document TEXT);
CREATE INDEX findings_order ON findings (probability DESC, image, place);
CREATE TABLE flags (image BLOB, place INTEGER, document TEXT);
CREATE INDEX flags_order ON flags (image, place);
"""


class StoredEntries(Sequence[Entry], Generic[Entry]):
    """A sequence in a database, read while it is gone through; equal to any sequence of equal entries."""

    def __init__(
        self, database: sqlite3.Connection, table: str, order: str, read: Callable[[dict[str, Any]], Entry]
    ) -> None:
        self._database = database
        self._count = f"SELECT count(*) FROM {table}"  # noqa: S608 (names of this module)
        self._rows = f"SELECT document FROM {table} ORDER BY {order}"  # noqa: S608
        self._read: Callable[[dict[str, Any]], Entry] = read

    def __len__(self) -> int:
        (count,) = self._database.execute(self._count).fetchone()
        return int(count)

    def __iter__(self) -> Iterator[Entry]:
        return (self._read(json.loads(text)) for (text,) in self._database.execute(self._rows))

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        """Return one entry, or several as a tuple; raises IndexError."""
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._between(places, 1)[0]
        return self._between(places.start, len(places)) if places.step == 1 else tuple(self[place] for place in places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(own == one for own, one in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _between(self, start: int, count: int) -> tuple[Entry, ...]:
        rows = self._database.execute(f"{self._rows} LIMIT ? OFFSET ?", (count, start))
        return tuple(self._read(json.loads(text)) for (text,) in rows)


class AuditStore:
    """The findings and flags of images, added in any order; findings come out by probability, ties by image and label.

    They are kept in the file ``path``, which is the caller's to delete, or in a temporary one that goes with the store.
    Raises OutputError where there is no room.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._database = sqlite3.connect(path or "", check_same_thread=False)
            self._database.executescript(_SET_UP)
        except sqlite3.Error as error:
            raise _no_room(error) from error

    def add(self, audit: ImageAudit) -> None:
        """Take what was found in an image."""
        name = audit.image.encode("utf-8", "surrogatepass")  # bytes sort as code points do
        findings = [
            (finding.probability, name, place, json_text(finding_to_dict(finding)))
            for place, finding in enumerate(sorted_findings(audit.findings))
        ]
        flags = [(name, place, json_text(flag_to_dict(flag))) for place, flag in enumerate(audit.flags)]
        try:
            with self._database:
                self._database.executemany("INSERT INTO findings VALUES (?, ?, ?, ?)", findings)
                self._database.executemany("INSERT INTO flags VALUES (?, ?, ?)", flags)
        except sqlite3.Error as error:
            raise _no_room(error) from error

    @property
    def findings(self) -> StoredEntries[Finding]:
        """All findings, the most probable first."""
        return StoredEntries(self._database, "findings", "probability DESC, image, place", finding_from_dict)

    @property
    def flags(self) -> StoredEntries[LabelFlag]:
        """All flags, image by image."""
        return StoredEntries(self._database, "flags", "image, place", flag_from_dict)


def _no_room(error: sqlite3.Error) -> OutputError:
    return OutputError(f"expected room for the findings of an audit, got: {error}")
