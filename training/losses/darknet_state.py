"""What darknet itself would hold after a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DarknetHeadState:
    """Darknet's variables for one head.

    ``output`` is l.output: [B, A*(5+C), h, w] ([yolo]), [B, h, w, A, 5+C] ([region]), [B, D] ([detection]).
    ``delta`` has the shape of the raw head; ``cost`` is what darknet prints, over the whole batch. [yolo] also counts
    ``total_bbox`` and ``rewritten_bbox``, and keeps ``labels`` (row of the ground truth) and ``class_ids`` int64
    [B, A, h, w], -1 where no object has its best anchor.
    """

    output: Tensor
    delta: Tensor
    cost: Tensor
    total_bbox: int = 0
    rewritten_bbox: int = 0
    labels: Tensor | None = None
    class_ids: Tensor | None = None


@dataclass(frozen=True)
class DarknetState:
    """Darknet's variables for all heads of a network."""

    heads: tuple[DarknetHeadState, ...]
