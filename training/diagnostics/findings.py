"""Findings of a label audit: probable errors of kind missing, class, location and spurious, and the report of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from yoloscope.models.errors import DatasetError
from yoloscope.models.files import encodable
from yoloscope.training.data.annotations import LabelFault
from yoloscope.training.data.annotations.parsing import decimal_of_json
from yoloscope.training.data.annotations.shapes import BoxXyxy

FindingKind: TypeAlias = Literal["missing", "class", "location", "spurious"]
"""Kinds of label errors: no label on an object, a label of a wrong class, a badly placed one, one on no object."""
KINDS: Final[tuple[FindingKind, ...]] = get_args(FindingKind)

LABEL_KINDS: Final[tuple[Literal["class", "location", "spurious"], ...]] = ("class", "location", "spurious")
"""Kinds of errors of a label that is there."""

FlagKind: TypeAlias = LabelFault | Literal["anchor_misfit", "collision"]
"""Faults of a label that need no model's prediction; the last two concern the anchors and cells of a detector."""


@dataclass(frozen=True)
class Suggestion:
    """Proposed label: class and box in pixels of the image as it is seen."""

    class_name: str
    box_xyxy_px: BoxXyxy


@dataclass(frozen=True)
class Finding:
    """One probable label error, and the edit that repairs it.

    ``image`` is the file's path below the data set's folder, with forward slashes; ``label_index`` the position of the
    label in that image's labels, None where an object has none. Class and box are the label's, and of ``missing`` those
    of the suggestion; a ``spurious`` label is to be deleted and has no suggestion. ``probability`` is that of a
    reviewer changing this label, ``gain`` how much training loss (of the model's own preset, this image) the edit
    saves, ``reason`` both in words.
    """

    image: str
    kind: FindingKind
    label_index: int | None
    class_name: str
    box_xyxy_px: BoxXyxy
    suggestion: Suggestion | None
    probability: float
    gain: float
    reason: str

    @property
    def order(self) -> tuple[float, str, int, str, BoxXyxy]:
        """Sort key: highest probability first, ties by position."""
        index = -1 if self.label_index is None else self.label_index
        return (-self.probability, self.image, index, self.kind, self.box_xyxy_px)


@dataclass(frozen=True)
class LabelFlag:
    """A fault of one label that is certain without any prediction, and its ``consequence`` for training in words."""

    image: str
    kind: FlagKind
    label_index: int
    class_name: str
    box_xyxy_px: BoxXyxy
    detail: str
    consequence: str


@dataclass(frozen=True)
class SkippedImage:
    """An image or label file that could not be audited, and why."""

    location: str
    detail: str


@dataclass(frozen=True)
class ImageAudit:
    """The audit of one image. It depends on that image, the model and the calibration alone."""

    image: str
    num_labels: int
    findings: tuple[Finding, ...]
    flags: tuple[LabelFlag, ...]
    skipped: tuple[SkippedImage, ...] = ()

    def to_json(self) -> str:
        """Return one line of JSON, to be stored while an audit runs."""
        return json_text(
            {
                "image": self.image,
                "num_labels": self.num_labels,
                "findings": [finding_to_dict(finding) for finding in self.findings],
                "flags": [flag_to_dict(flag) for flag in self.flags],
                "skipped": [asdict(skipped) for skipped in self.skipped],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> ImageAudit:
        """Return what ``to_json`` wrote."""
        document = json.loads(text)
        return cls(
            document["image"],
            document["num_labels"],
            tuple(map(finding_from_dict, document["findings"])),
            tuple(map(flag_from_dict, document["flags"])),
            tuple(SkippedImage(**skipped) for skipped in document["skipped"]),
        )


@dataclass(frozen=True)
class AuditReport:
    """All findings of a data set, highest probability first, and what they were made with.

    ``seen_by_model`` says whether the model was trained on these images (None: unknown), which makes probabilities too
    low. ``prevalence`` is the share of errors that each kind's probabilities assume. Findings and flags may lie on the
    disk and be read while they are gone through (``AuditStore``).
    """

    model: str
    version: str
    data: str
    split: str | None
    num_images: int
    num_labels: int
    seen_by_model: bool | None
    prevalence: Mapping[FindingKind, float]
    floor: float
    notes: tuple[str, ...]
    findings: Sequence[Finding]
    flags: Sequence[LabelFlag]
    skipped: tuple[SkippedImage, ...]

    def to_json(self) -> str:
        """Return the report as an indented JSON document; equal reports give equal bytes."""
        return "".join(self.json_parts())

    def json_parts(self) -> Iterator[str]:
        """Yield the JSON document in parts, one for each finding."""
        document = {
            "model": self.model,
            "version": self.version,
            "data": self.data,
            "split": self.split,
            "num_images": self.num_images,
            "num_labels": self.num_labels,
            "seen_by_model": self.seen_by_model,
            "prevalence": dict(self.prevalence),
            "floor": self.floor,
            "notes": list(self.notes),
        }
        yield json_text(document, indent=1).removesuffix("\n}")
        lists: dict[str, Iterable[dict[str, Any]]] = {
            "findings": map(finding_to_dict, self.findings),
            "flags": map(flag_to_dict, self.flags),
            "skipped": map(asdict, self.skipped),
        }
        for key, entries in lists.items():
            yield f',\n "{key}": '
            yield from list_parts(entries, depth=1)
        yield "\n}"

    @classmethod
    def from_json(cls, text: str) -> AuditReport:
        """Return what ``to_json`` wrote; raises DatasetError where it is not a report."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise no_report(error) from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: Any) -> AuditReport:  # noqa: ANN401 (any JSON)
        """Return the report of a JSON document that was read; raises DatasetError where it is none."""
        try:
            plain = {key: document[key] for key in _PLAIN}
            return cls(
                **plain,
                notes=tuple(document["notes"]),
                findings=tuple(map(finding_from_dict, document["findings"])),
                flags=tuple(map(flag_from_dict, document["flags"])),
                skipped=tuple(SkippedImage(**skipped) for skipped in document["skipped"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise no_report(error) from error


def no_report(error: Exception) -> DatasetError:
    """Return the error for a document that is no report."""
    return DatasetError(f"expected the JSON report of an audit, got none: {error!r}")


def list_parts(entries: Iterable[dict[str, Any]], depth: int = 0) -> Iterator[str]:
    """Yield a JSON list in parts, one for each entry, as ``json.dumps`` with an indent of 1 writes it at a depth."""
    outside, inside = "\n" + " " * depth, "\n" + " " * (depth + 1)
    yield "["
    end = "]"
    for number, entry in enumerate(entries):
        yield f"{',' if number else ''}{inside}" + json_text(entry, indent=1).replace("\n", inside)
        end = f"{outside}]"
    yield end


_PLAIN = (
    "model",
    "version",
    "data",
    "split",
    "num_images",
    "num_labels",
    "seen_by_model",
    "prevalence",
    "floor",
)


def json_text(document: Mapping[str, Any] | Sequence[Any], indent: int | None = None) -> str:
    """Return a JSON document that UTF-8 can hold, whatever the names in it."""
    return encodable(json.dumps(document, ensure_ascii=False, indent=indent))


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON types; boxes as ``{"x1", "y1", "x2", "y2"}`` in pixels of the image."""
    suggestion = finding.suggestion
    return {
        "image": finding.image,
        "kind": finding.kind,
        "label_index": finding.label_index,
        "class_name": finding.class_name,
        "box": _box_to_dict(finding.box_xyxy_px),
        "suggestion": suggestion and {"class_name": suggestion.class_name, "box": _box_to_dict(suggestion.box_xyxy_px)},
        "probability": finding.probability,
        "gain": finding.gain,
        "reason": finding.reason,
    }


def finding_from_dict(entry: Mapping[str, Any]) -> Finding:
    """Return the finding of ``finding_to_dict``; raises KeyError, TypeError or ValueError where it is none."""
    if entry["kind"] not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {entry['kind']!r}")
    suggestion = entry["suggestion"]
    return Finding(
        entry["image"],
        entry["kind"],
        entry["label_index"],
        entry["class_name"],
        _box_from_dict(entry["box"]),
        suggestion and Suggestion(suggestion["class_name"], _box_from_dict(suggestion["box"])),
        entry["probability"],
        entry["gain"],
        entry["reason"],
    )


def check_finding(finding: Finding) -> None:
    """Raise ValueError where the fields of a finding contradict each other or are of other types."""
    if not (isinstance(finding.image, str) and isinstance(finding.class_name, str)):
        raise ValueError("image and class_name: expected texts")  # noqa: TRY004 (a value of a file)
    if None in (decimal_of_json(finding.probability), decimal_of_json(finding.gain)):
        raise ValueError("probability and gain: expected numbers")
    index, is_missing = finding.label_index, finding.kind == "missing"
    if is_missing != (index is None) or isinstance(index, bool) or not isinstance(index, int | None):
        raise ValueError(f"label_index: expected {'null' if is_missing else 'an integer'}, got {index!r}")
    if (finding.kind == "spurious") != (finding.suggestion is None):
        raise ValueError(f"suggestion: expected {'null' if finding.suggestion else 'a class and a box'}")


def flag_to_dict(flag: LabelFlag) -> dict[str, Any]:
    """Return a flag as JSON types."""
    fields = asdict(flag)
    return {("box" if key == "box_xyxy_px" else key): value for key, value in fields.items()} | {
        "box": _box_to_dict(flag.box_xyxy_px)
    }


def flag_from_dict(entry: Mapping[str, Any]) -> LabelFlag:
    """Return the flag of ``flag_to_dict``; raises KeyError or TypeError where it is none."""
    fields = {key: value for key, value in entry.items() if key != "box"}
    return LabelFlag(**fields, box_xyxy_px=_box_from_dict(entry["box"]))


def _box_to_dict(box: BoxXyxy) -> dict[str, float]:
    return dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))


def _box_from_dict(box: Mapping[str, float]) -> BoxXyxy:
    return (float(box["x1"]), float(box["y1"]), float(box["x2"]), float(box["y2"]))


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of reports: highest probability first, ties by image and label."""
    return tuple(sorted(findings, key=lambda finding: finding.order))
