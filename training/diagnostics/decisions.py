"""Decisions on the findings of an audit: ``decisions.json``, as the report's page saves it, or made by probability.

The file needs nothing beside it: ``{"model", "version", "data", "split", "decisions": [{"decision": "accept" or
"reject", "finding": {...}}]}``, each finding as in the report's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from yoloscope.models.errors import DatasetError, LabelError
from yoloscope.training.data.annotations.parsing import parse_json, shown
from yoloscope.training.diagnostics.findings import AuditReport, Finding, finding_from_dict, finding_to_dict, json_text

Verdict: TypeAlias = Literal["accept", "reject"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)


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
        return cls.from_document(_parse(data))

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


def read_decisions(data: bytes | str, *, accept_probability: float | None = None) -> Decisions:
    """Read ``decisions.json``, or a report of which all findings above ``accept_probability`` are accepted.

    Raises DatasetError where the document is neither, a report comes without a probability, or decisions with one.
    """
    document = _parse(data)
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


def _parse(data: bytes | str) -> dict[str, Any]:
    try:
        document = parse_json(data.encode() if isinstance(data, str) else data)
    except LabelError as error:
        raise DatasetError(f"expected the JSON of an audit's decisions or report: {error}") from error
    if not isinstance(document, dict):
        raise DatasetError(f"expected decisions, or the report of an audit, got {shown(document)}")
    return document


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
        _check(finding)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{pointer}/finding: expected a finding as in the report, got one with {error!r}") from error
    return Decision(finding, verdict)


def _check(finding: Finding) -> None:
    """Raise ValueError where the fields of a finding contradict each other or are of other types."""
    if not (isinstance(finding.image, str) and isinstance(finding.class_name, str)):
        raise ValueError("image and class_name: expected texts")  # noqa: TRY004 (a value of a file)
    index, is_missing = finding.label_index, finding.kind == "missing"
    if is_missing != (index is None) or isinstance(index, bool) or not isinstance(index, int | None):
        raise ValueError(f"label_index: expected {'null' if is_missing else 'an integer'}, got {index!r}")
    if (finding.kind == "spurious") != (finding.suggestion is None):
        raise ValueError(f"suggestion: expected {'null' if finding.suggestion else 'a class and a box'}")
