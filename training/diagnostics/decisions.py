"""Decisions on the findings of an audit: ``decisions.json``, as the report's page saves it, or made by probability.

The file needs nothing beside it: ``{"model", "version", "data", "split", "decisions": [{"decision": "accept" or
"reject", "finding": {...}}]}``, each finding as in the report's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, Final, Literal, TypeAlias, get_args

from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.training.data.annotations.parsing import decimal_of_json, shown
from yoloscope.training.diagnostics.findings import (
    AuditReport,
    Finding,
    check_finding,
    finding_from_dict,
    finding_to_dict,
    json_text,
)
from yoloscope.training.diagnostics.json_members import json_members

Verdict: TypeAlias = Literal["accept", "reject"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
_LISTS: Final = ("findings", "flags", "skipped")


@dataclass(frozen=True)
class Decision:
    """A reviewer's verdict on one finding."""

    finding: Finding
    verdict: Verdict


@dataclass(frozen=True)
class Decisions:
    """Decisions on one report's findings, and the model, data set and split of that report."""

    model: str
    version: str
    data: str
    split: str | None
    decisions: tuple[Decision, ...]

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """The findings that are to be mended."""
        return tuple(decision.finding for decision in self.decisions if decision.verdict == "accept")

    def to_json(self) -> str:
        """Return the document of ``decisions.json``."""
        document = {
            "model": self.model,
            "version": self.version,
            "data": self.data,
            "split": self.split,
            "decisions": [
                {"decision": decision.verdict, "finding": finding_to_dict(decision.finding)}
                for decision in self.decisions
            ],
        }
        return json_text(document, indent=1)

    @classmethod
    def from_json(cls, data: bytes | str) -> Decisions:
        """Read ``decisions.json``; raises DatasetError naming the place (a JSON pointer) of what is wrong."""
        return cls.from_document(_parse(data, None))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Decisions:
        """Return the decisions of a JSON document that was read; raises as ``from_json`` does."""
        entries = document.get("decisions")
        if not isinstance(entries, list):
            raise DatasetError(f"/decisions: expected a list of decisions, got {shown(entries)}")
        split = document.get("split")
        if split is not None and not isinstance(split, str):
            raise DatasetError(f"/split: expected the name of a split or null, got {shown(split)}")
        model, version, source = (_text(document, key) for key in ("model", "version", "data"))
        decisions = tuple(_read_decision(entry, f"/decisions/{index}") for index, entry in enumerate(entries))
        return cls(model, version, source, split, decisions)


def accept_above(report: AuditReport, probability: float) -> Decisions:
    """Accept every finding of at least this probability, of several on one label the most probable alone."""
    if not 0 <= probability <= 1:
        raise DatasetError(f"expected a probability of 0 to 1, got {probability:g}")
    taken: set[tuple[str, int]] = set()
    decisions: list[Decision] = []
    for finding in sorted(report.findings, key=lambda finding: finding.order):
        place = None if finding.label_index is None else (finding.image, finding.label_index)
        if finding.probability < probability or place in taken:
            continue
        if place is not None:
            taken.add(place)
        decisions.append(Decision(finding, "accept"))
    return Decisions(report.model, report.version, report.data, report.split, tuple(decisions))


def read_decisions(data: bytes | str | BinaryIO, *, accept_probability: float | None = None) -> Decisions:
    """Read ``decisions.json``, or a report of which all findings above ``accept_probability`` are accepted.

    Of a report no other finding is kept in memory, and of one that comes as a file no more than a part at a time.
    Raises DatasetError where the document is neither, a report comes without a probability, or decisions with one.
    """
    document = _parse(data, accept_probability)
    if "decisions" in document:
        if accept_probability is not None:
            raise DatasetError("expected the report of an audit to accept by probability, got decisions made already")
        return Decisions.from_document(document)
    if "findings" not in document:
        raise DatasetError(f"expected decisions, or the report of an audit, got the keys {shown(sorted(document))}")
    if accept_probability is None:
        raise DatasetError(
            "expected decisions, got a report: name the probability from which its findings count (accept_probability, "
            "--accept-above)"
        )
    return accept_above(AuditReport.from_document(document), accept_probability)


def _parse(data: bytes | str | BinaryIO, accept_probability: float | None) -> dict[str, Any]:
    """Return a document with its decisions, but of the other lists of a report only the findings that are accepted."""
    data = data.encode() if isinstance(data, str) else data
    document: dict[str, Any] = {}
    try:
        for key, index, value in json_members(BytesIO(data) if isinstance(data, bytes) else data):
            if index is None:
                document[key] = value
            elif key not in _LISTS or (key == "findings" and _is_probable(value, index, accept_probability)):
                document[key].append(value)
    except LabelError as error:
        detail = error.problems[0].detail
        raise DatasetError(f"expected the JSON of an audit's decisions or report: {detail}") from error
    return document


def _is_probable(entry: object, index: int, accept_probability: float | None) -> bool:
    probability = decimal_of_json(entry.get("probability")) if isinstance(entry, dict) else None
    if probability is None:
        raise DatasetError(f"/findings/{index}: expected a finding with a probability, got {shown(entry)}")
    return accept_probability is not None and probability >= accept_probability


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise DatasetError(f"/{key}: expected a text, got {shown(value)}")
    return value


def _read_decision(entry: object, pointer: str) -> Decision:
    if not isinstance(entry, dict):
        raise DatasetError(f"{pointer}: expected an object with decision and finding, got {shown(entry)}")
    verdict = next((known for known in VERDICTS if known == entry.get("decision")), None)
    if verdict is None:
        raise DatasetError(f"{pointer}/decision: expected accept or reject, got {shown(entry.get('decision'))}")
    try:
        finding = finding_from_dict(entry["finding"])
        check_finding(finding)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{pointer}/finding: expected a finding as in the report, got one with {error!r}") from error
    return Decision(finding, verdict)
