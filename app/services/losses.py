"""The loss of raw heads that a client sends, with any preset; no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from yoloscope.app.services.inference import Timing
from yoloscope.app.services.state import Services
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.losses.names import Detail

if TYPE_CHECKING:
    from torch import Tensor

    from yoloscope.models.structures import GroundTruth
    from yoloscope.training.losses.preset import LossPreset
    from yoloscope.training.losses.report import LossReport

MAX_VALUES: Final = 2**24
"""Of all heads of a request together."""
MAX_VALUES_OF_CELLS: Final = 2**20
"""The same where the answer has them one by one."""
MAX_OBJECTS: Final = 10_000
"""Of all images of a request together."""
MAX_MATCHES: Final = 2**18
"""Objects times anchors: as many predictors may be assigned."""
MAX_PAIRS: Final = 2**27
"""Predictors of the batch times the most objects of an image: what the ignore rule compares."""


@dataclass(frozen=True)
class LossQuery:
    """Inputs of a loss. ``read_heads`` gives the raw heads, in the order of ``spec.heads``, when their turn comes."""

    read_heads: Callable[[], Sequence[NDArray[Any]]]
    truth: GroundTruth
    spec: DetectorSpec
    preset: LossPreset
    detail: Detail = "objects"
    images_seen: int | None = None
    divisor: float | None = None


@dataclass(frozen=True)
class LossRun:
    """The report, with detail ``cells`` the gradient of every head, and the times."""

    report: LossReport
    truth: GroundTruth
    gradients: tuple[Tensor, ...]
    timing: Timing


async def compute(services: Services, query: LossQuery, timing: Timing) -> LossRun:
    """Return the loss; it takes its turn in the inference thread, so that one body at a time is unpacked.

    Raises BusyError, DeadlineError, RequestError for heads that do not fit the spec, RequestTooLargeError, LabelError,
    PresetError or NonFiniteLossError.
    """
    with services.admit(query.truth.batch_size), timing.stage("queue"):
        report, gradients = await services.inference.run(_run, timing, query)
    timing.subtract("queue", "loss")
    return LossRun(report, query.truth, gradients, timing)


def _run(timing: Timing, query: LossQuery) -> tuple[LossReport, tuple[Tensor, ...]]:
    from yoloscope.app.services.head_losses import loss_of_arrays  # noqa: PLC0415 - its tensors came with the query

    with timing.stage("loss"):
        return loss_of_arrays(query.read_heads(), query)
