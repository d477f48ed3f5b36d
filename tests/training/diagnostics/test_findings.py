"""Findings and reports of audits: their JSON and their order."""

import json
from dataclasses import replace

import pytest

from yoloscope.models.errors import DatasetError
from yoloscope.training.diagnostics.findings import (
    AuditReport,
    Finding,
    ImageAudit,
    LabelFlag,
    SkippedImage,
    Suggestion,
    finding_to_dict,
    sorted_findings,
)

MISSING = Finding(
    "images/a.jpg", "missing", None, "cat", (1.5, 2, 30, 40), Suggestion("cat", (1.5, 2, 30, 40)), 0.75, 2.5, "seen"
)
SPURIOUS = Finding("images/b.jpg", "spurious", 3, "犬", (0, 0, 5, 5), None, 0.5, 1.0, "nothing there")
FLAG = LabelFlag("images/a.jpg", "degenerate", 1, "cat", (3, 3, 3, 9), "no width", "it is left out")
REPORT = AuditReport(
    model="builtin",
    version="1",
    data="set",
    split="val",
    num_images=2,
    num_labels=5,
    seen_by_model=False,
    prevalence={"missing": 0.1, "class": 0.03, "location": 0.03, "spurious": 0.03},
    floor=0.05,
    notes=("a note",),
    findings=(MISSING, SPURIOUS),
    flags=(FLAG,),
    skipped=(SkippedImage("c.jpg", "not an image"),),
)


def test_the_json_of_a_finding_is_the_contract() -> None:
    assert finding_to_dict(MISSING) == {
        "image": "images/a.jpg",
        "kind": "missing",
        "label_index": None,
        "class_name": "cat",
        "box": {"x1": 1.5, "y1": 2, "x2": 30, "y2": 40},
        "suggestion": {"class_name": "cat", "box": {"x1": 1.5, "y1": 2, "x2": 30, "y2": 40}},
        "probability": 0.75,
        "gain": 2.5,
        "reason": "seen",
    }
    assert finding_to_dict(SPURIOUS)["suggestion"] is None


def test_a_report_is_read_back_and_equal_reports_give_equal_bytes() -> None:
    text = REPORT.to_json()
    again = AuditReport.from_json(text)
    assert again == REPORT
    assert again.to_json() == text
    assert json.loads(text)["flags"][0]["box"] == {"x1": 3, "y1": 3, "x2": 3, "y2": 9}


def test_the_audit_of_an_image_is_one_line_that_is_read_back() -> None:
    audit = ImageAudit("images/a.jpg", 4, (MISSING,), (FLAG,), (SkippedImage("c", "d"),))
    assert "\n" not in audit.to_json()
    assert ImageAudit.from_json(audit.to_json()) == audit


def test_the_most_probable_comes_first_and_ties_go_by_image_and_label() -> None:
    tied = replace(MISSING, image="images/c.jpg", probability=0.5)
    later = replace(SPURIOUS, label_index=4)
    assert sorted_findings([tied, later, SPURIOUS, MISSING]) == (MISSING, SPURIOUS, later, tied)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"findings": [{"kind": "other"}]}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="expected the JSON report of an audit"):
        AuditReport.from_json(text)
