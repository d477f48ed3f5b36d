"""Decisions on findings: their JSON, those made by probability, and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.training.diagnostics.reports import FINDINGS, report_of
from yoloscope.models.errors import DatasetError
from yoloscope.training.diagnostics.decisions import Decision, Decisions, accept_above, read_decisions
from yoloscope.training.diagnostics.findings import finding_to_dict

DECISIONS = Decisions(
    "builtin", "abc", "pets", "val", (Decision(FINDINGS[0], "accept"), Decision(FINDINGS[2], "reject"))
)


def document(**changes: Any) -> str:
    base: dict[str, Any] = {"model": "m", "version": "1", "data": "pets", "split": None, "decisions": []}
    return json.dumps(base | changes)


def test_decisions_are_read_back() -> None:
    assert Decisions.from_json(DECISIONS.to_json()) == DECISIONS
    assert DECISIONS.accepted == (FINDINGS[0],)


def test_the_document_holds_the_findings_themselves() -> None:
    assert json.loads(DECISIONS.to_json()) == {
        "model": "builtin",
        "version": "abc",
        "data": "pets",
        "split": "val",
        "decisions": [
            {"decision": "accept", "finding": finding_to_dict(FINDINGS[0])},
            {"decision": "reject", "finding": finding_to_dict(FINDINGS[2])},
        ],
    }


def test_findings_of_at_least_the_probability_are_accepted() -> None:
    assert accept_above(report_of(), 0.8).accepted == FINDINGS[:3]
    assert accept_above(report_of(), 1.0).accepted == ()


def test_of_several_findings_on_one_label_the_most_probable_is_accepted() -> None:
    likelier = replace(FINDINGS[1], kind="spurious", suggestion=None, probability=0.95)
    assert accept_above(report_of([FINDINGS[1], likelier]), 0.5).accepted == (likelier,)


def test_a_report_needs_a_probability_and_decisions_take_none() -> None:
    report = report_of(split="val")
    assert read_decisions(report.to_json(), accept_probability=0.9) == accept_above(report, 0.9)
    assert read_decisions(DECISIONS.to_json().encode()) == DECISIONS
    with pytest.raises(DatasetError, match="got a report: name the probability"):
        read_decisions(report.to_json())
    with pytest.raises(DatasetError, match="got decisions made already"):
        read_decisions(DECISIONS.to_json(), accept_probability=0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the JSON of an audit's decisions or report"),
        ("[]", r"got \[\]"),
        ('{"a": 1}', r"got the keys \['a'\]"),
        (document(decisions=3), "/decisions: expected a list of decisions, got 3"),
        (document(split=3), "/split: expected the name of a split or null, got 3"),
        (document(model=None), "/model: expected a text, got None"),
        (document(decisions=[1]), "/decisions/0: expected an object with decision and finding, got 1"),
        (document(decisions=[{"decision": "maybe"}]), "/decisions/0/decision: expected accept or reject, got 'maybe'"),
        (document(decisions=[{"decision": "accept"}]), "/decisions/0/finding: expected a finding as in the report"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_decisions(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_index": None}, "label_index: expected an integer, got None"),
        ({"label_index": "1"}, "label_index: expected an integer, got '1'"),
        ({"kind": "missing"}, "label_index: expected null, got 1"),
        ({"kind": "spurious"}, "suggestion: expected null"),
        ({"suggestion": None}, "suggestion: expected a class and a box"),
        ({"image": 4}, "image and class_name: expected texts"),
        ({"box": {"x1": 1}}, "KeyError"),
    ],
)
def test_a_finding_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    entry = {"decision": "accept", "finding": finding_to_dict(FINDINGS[1]) | changes}
    with pytest.raises(DatasetError, match=f"/decisions/0/finding: .*{message}"):
        Decisions.from_json(document(decisions=[entry]))


def test_a_probability_out_of_range_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"expected a probability of 0 to 1, got 1\.5"):
        accept_above(report_of(), 1.5)
