"""Findings on disk come out in the order of reports, whatever their number and their order before."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from tests.training.diagnostics.reports import report_of
from yoloscope.models.errors import OutputError
from yoloscope.training.diagnostics.findings import (
    KINDS,
    AuditReport,
    Finding,
    ImageAudit,
    LabelFlag,
    Suggestion,
    sorted_findings,
)
from yoloscope.training.diagnostics.store import AuditStore, by_image, read_report

BOX = (1.0, 2.0, 3.5, 4.0)


def _audits() -> list[ImageAudit]:
    """Images in any order with probabilities that are often equal; one name is not UTF-8."""
    drawn = random.Random(0)
    audits = []
    for name in ("b.png", "a/z.png", "\udce9.png", "\U0001f600.png", "A.png", "ä.png"):
        found = tuple(
            Finding(
                name,
                drawn.choice(KINDS),
                index,
                "dog",
                BOX,
                Suggestion("cat", BOX),
                drawn.randint(1, 4) / 4,
                0.5,
                "why",
            )
            for index in range(7)
        )
        flags = tuple(LabelFlag(name, "tiny", index, "dog", BOX, "under a pixel", "lost") for index in (1, 0))
        audits.append(ImageAudit(name, 7, found, flags))
    return audits


@pytest.mark.parametrize("name", [None, "found"])
def test_the_order_is_that_of_reports(tmp_path: Path, name: str | None) -> None:
    store = AuditStore(None if name is None else tmp_path / name)
    audits = _audits()
    for audit in audits:
        store.add(audit)
    expected = sorted_findings(finding for audit in audits for finding in audit.findings)
    flags = [flag for audit in sorted(audits, key=lambda one: one.image) for flag in audit.flags]
    assert expected == store.findings
    assert store.flags == flags
    assert list(store.findings) == list(expected)
    assert len(store.findings) == 42
    assert (store.findings[0], store.findings[-1], store.findings[17]) == (expected[0], expected[-1], expected[17])
    assert store.findings[3:9] == expected[3:9]
    assert store.findings[40:50] == expected[40:]
    assert store.findings[::-7] == expected[::-7]
    assert store.findings != expected[:-1]
    with pytest.raises(IndexError):
        _ = store.findings[42]


def test_a_report_of_stored_findings_has_the_bytes_of_one_in_memory() -> None:
    store = AuditStore()
    for audit in _audits():
        store.add(audit)
    stored = replace(report_of(), findings=store.findings, flags=store.flags)
    kept = replace(stored, findings=tuple(store.findings), flags=tuple(store.flags))
    text = stored.to_json()
    assert text == kept.to_json()
    assert AuditReport.from_json(text) == kept
    assert "\\udce9.png" in text
    assert json.dumps(json.loads(text), indent=1, ensure_ascii=False).replace("\udce9", "\\udce9") == text
    empty = replace(stored, findings=(), flags=(), skipped=())
    assert json.dumps(json.loads(empty.to_json()), indent=1) == empty.to_json()


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="expected room for the findings of an audit"):
        AuditStore(tmp_path / "absent" / "found")


def test_findings_come_by_image_in_the_order_of_the_images_most_probable_ones() -> None:
    store = AuditStore()
    for audit in _audits():
        store.add(audit)
    expected: dict[str, list[Finding]] = {}
    for finding in store.findings:
        expected.setdefault(finding.image, []).append(finding)
    assert list(by_image(store.findings)) == list(expected.values())
    assert list(by_image(tuple(store.findings))) == list(expected.values())


def test_a_report_is_read_as_it_was_written() -> None:
    store = AuditStore()
    for audit in _audits():
        moved = tuple(replace(finding, kind="location") for finding in audit.findings)
        store.add(replace(audit, findings=moved))
    report = replace(report_of(), findings=store.findings, flags=store.flags)
    again = read_report(BytesIO(report.to_json().encode()))
    assert again == report
    assert again.to_json() == report.to_json()
