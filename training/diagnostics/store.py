"""Findings of an audit on disk, in the order of reports: the memory of an audit does not grow with its data set."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, TypeVar, overload

from yoloscope.models.errors import DatasetError, LabelError, OutputError
from yoloscope.training.diagnostics.findings import (
    AuditReport,
    Finding,
    ImageAudit,
    LabelFlag,
    check_finding,
    finding_from_dict,
    finding_to_dict,
    flag_from_dict,
    flag_to_dict,
    json_text,
    no_report,
    sorted_findings,
)
from yoloscope.training.diagnostics.json_members import json_members

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
_BY_IMAGE: Final = """
SELECT document FROM findings
JOIN (SELECT image, max(probability) AS highest FROM findings GROUP BY image) USING (image)
ORDER BY highest DESC, image, probability DESC, place
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
        return self.in_order(self._rows)

    def in_order(self, query: str) -> Iterator[Entry]:
        """Yield the entries whose documents a query selects."""
        return (self._read(json.loads(text)) for (text,) in self._database.execute(query))

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
        for place, finding in enumerate(sorted_findings(audit.findings)):
            self.add_finding(finding, place)
        for place, flag in enumerate(audit.flags):
            self.add_flag(flag, place)

    def add_finding(self, finding: Finding, place: int) -> None:
        """Take a finding; ``place`` orders those of one image that are equally probable."""
        row = finding.probability, _sortable(finding.image), place, json_text(finding_to_dict(finding))
        self._insert("INSERT INTO findings VALUES (?, ?, ?, ?)", row)

    def add_flag(self, flag: LabelFlag, place: int) -> None:
        """Take a flag; ``place`` orders those of one image."""
        self._insert(
            "INSERT INTO flags VALUES (?, ?, ?)", (_sortable(flag.image), place, json_text(flag_to_dict(flag)))
        )

    def _insert(self, statement: str, row: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, row)
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


def read_report(file: BinaryIO) -> AuditReport:
    """Read a report of which findings and flags lie on the disk; raises DatasetError where it is none, OutputError."""
    store = AuditStore()
    document: dict[str, Any] = {}
    try:
        for key, index, value in json_members(file):
            if index is None:
                document[key] = value
            elif key == "findings":
                finding = finding_from_dict(value)
                check_finding(finding)
                store.add_finding(finding, index)
            elif key == "flags":
                store.add_flag(flag_from_dict(value), index)
            else:
                document[key].append(value)
    except LabelError as error:
        raise DatasetError(f"expected the JSON report of an audit: {error.problems[0].detail}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise no_report(error) from error
    return replace(AuditReport.from_document(document), findings=store.findings, flags=store.flags)


def by_image(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Yield the findings of each image, the most probable first; images by their most probable one."""
    if not isinstance(findings, StoredEntries):
        store = AuditStore()
        for place, finding in enumerate(findings):
            store.add_finding(finding, place)
        findings = store.findings
    for _, group in groupby(findings.in_order(_BY_IMAGE), key=lambda finding: finding.image):
        yield list(group)


def _sortable(image: str) -> bytes:
    return image.encode("utf-8", "surrogatepass")  # bytes sort as code points do


def _no_room(error: sqlite3.Error) -> OutputError:
    return OutputError(f"expected room for the findings of an audit, got: {error}")
