"""Schemas of audits: options, jobs and findings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from yoloscope.app.schemas.base import Schema
from yoloscope.app.schemas.detect import CornerBox
from yoloscope.app.services.audits.options import CorrectedContent, JobPhase, JobState
from yoloscope.models.errors import ConfigError
from yoloscope.training.diagnostics.findings import FindingKind
from yoloscope.training.diagnostics.prevalence import parse_prevalence


def _share(text: str) -> str:
    try:
        parse_prevalence([text])
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


class AuditOptions(Schema):
    """Options of an audit, in the query or in the form, or in both with equal values."""

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name of the model, see `GET /v1/models`; without it the default model."""
    split: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Part of the data set, such as `train`; without it all of it."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Least probability of a finding that is listed."""
    prevalence: Annotated[list[Annotated[str, AfterValidator(_share)]], Field(max_length=4, default_factory=list)]
    """Shares of labels that you take for wrong, as `missing=.1` (of all objects) or `class=.02`."""


class CorrectionOptions(Schema):
    """Options of a corrected copy, in the query or in the form, or in both with equal values."""

    content: CorrectedContent = "data"
    """`data`: the whole data set; `labels`: the label files that changed, alone."""
    new_classes: Literal["refuse", "add"] = "refuse"
    """Suggested classes that the data set does not have: an error, or added to it."""


class AuditJob(Schema):
    """State of an audit."""

    id: str
    status_url: str
    """Path of this document."""
    name: str
    """Of the data set: that of its zip."""
    state: JobState
    phase: JobPhase
    """What it is at, or was at when it ended: unpacking, calibrating (where the model has no calibration), judging
    images, writing the reports."""
    done: int
    """Images that are judged."""
    total: int | None
    """Images of the data set, once they are counted."""
    eta_s: float | None
    """Seconds that the other images will take, as far as is known."""
    errors: list[str]
    """Why it failed."""
    model: str
    split: str | None
    floor: float
    prevalence: dict[FindingKind, float]
    created_at: datetime
    finished_at: datetime | None


class AuditList(Schema):
    """Audits, the newest first."""

    audits: list[AuditJob]
    cursor: str | None
    """For the next page; null after the last."""


class FindingSuggestion(Schema):
    """The label as it should be."""

    class_name: str
    box: CornerBox


class AuditFinding(Schema):
    """One probable label error."""

    image: str
    """Path below the folder of the zip."""
    kind: FindingKind
    label_index: int | None
    """Position among the labels of the image, from 0; null where there is none."""
    class_name: str
    box: CornerBox
    """In pixels of the image, as it is seen."""
    suggestion: FindingSuggestion | None
    """Null where the label should be deleted."""
    probability: float
    """That of a reviewer changing this label."""
    gain: float
    """Training loss that the edit saves."""
    reason: str


class FindingPage(Schema):
    """Findings, the most probable first."""

    findings: list[AuditFinding]
    cursor: str | None
    """For the next page; null after the last."""
