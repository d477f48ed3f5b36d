"""Options of an audit job, as they are kept with it, and the states it goes through."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from yoloscope.models.strict_model import StrictModel
from yoloscope.training.diagnostics.findings import FindingKind

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
JobPhase: TypeAlias = Literal["ingest", "calibrate", "score", "report"]
STATES: Final[tuple[JobState, ...]] = get_args(JobState)
PHASES: Final[tuple[JobPhase, ...]] = get_args(JobPhase)
OPEN_STATES: Final[tuple[JobState, ...]] = ("queued", "running")

CorrectedContent: TypeAlias = Literal["data", "labels"]
"""Of a corrected copy: the whole data set, or the label files that changed alone."""


class AuditOptions(StrictModel):
    """Name of the model, split of the data set (None: all), least probability, and shares of errors by kind."""

    model: str
    split: str | None
    floor: float
    prevalence: dict[FindingKind, float]
