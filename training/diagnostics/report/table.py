"""Findings of an audit as JSON and as CSV, one row each, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from yoloscope.models.files import ESCAPED, atomic_write
from yoloscope.training.diagnostics.findings import AuditReport, Finding

COLUMNS: Final = (
    *("image", "kind", "label_index", "class_name", "x1", "y1", "x2", "y2"),
    *("suggested_class", "suggested_x1", "suggested_y1", "suggested_x2", "suggested_y2"),
    *("probability", "gain", "reason"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_json(report: AuditReport, path: Path) -> None:
    """Write the report as an indented UTF-8 JSON document; raises OutputError."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(report.json_parts())


def write_csv(report: AuditReport, path: Path) -> None:
    """Write the findings as a UTF-8 CSV file with a byte order mark; raises OutputError.

    A text that a spreadsheet would take for a formula has an apostrophe before it. Source: OWASP, CSV injection.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8-sig", errors=ESCAPED, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(finding) for finding in report.findings)


def _row(finding: Finding) -> list[str]:
    suggestion = finding.suggestion
    index = "" if finding.label_index is None else str(finding.label_index)
    boxed = [""] * 5 if suggestion is None else [_safe(suggestion.class_name), *_numbers(*suggestion.box_xyxy_px)]
    return [
        _safe(finding.image),
        finding.kind,
        index,
        _safe(finding.class_name),
        *_numbers(*finding.box_xyxy_px),
        *boxed,
        *_numbers(finding.probability, finding.gain),
        _safe(finding.reason),
    ]


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _numbers(*values: float) -> Iterator[str]:
    return (f"{value:.6g}" for value in values)
