"""Progress of a run: steps, time and validation scores, and the summary of them in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from yoloscope.models.spec import DetectorSpec, SourceSpec
from yoloscope.training.config import TrainingConfig


@dataclass
class RunProgress:
    """Steps done, and what validation found.

    ``scores`` are (step, AP, AP50), in order; ``seconds`` is the time spent training, over all restarts.
    """

    step: int = 0
    seconds: float = 0.0
    scores: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def best(self) -> tuple[int, float, float] | None:
        """The first score of the highest AP."""
        return max(self.scores, key=lambda score: score[1], default=None)

    @property
    def is_best_now(self) -> bool:
        """Whether the current step has the highest AP so far."""
        return self.best is not None and self.best[0] == self.step

    @property
    def validations_since_best(self) -> int:
        """Validations after the one with the highest AP."""
        return 0 if self.best is None else sum(score[0] > self.best[0] for score in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunProgress:
        """Restore what ``to_dict`` returned."""
        scores = [(int(step), float(ap), float(ap50)) for step, ap, ap50 in values["scores"]]
        return cls(int(values["step"]), float(values["seconds"]), scores)


def trained_spec(
    spec: DetectorSpec, config: TrainingConfig, progress: RunProgress, data: Mapping[str, object] = MappingProxyType({})
) -> DetectorSpec:
    """Return a spec with its source and a summary of the run so far; ``data`` is added to it."""
    summary: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "torch": str(torch.__version__),
        **data,
    }
    if progress.best is not None:
        step, ap, ap50 = progress.best
        summary["best"] = {"step": step, "AP": ap, "AP50": ap50}
    source = SourceSpec(kind="training", images_seen=progress.step * config.batch_size)
    return spec.model_copy(update={"source": source, "training": summary})
