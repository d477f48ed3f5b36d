"""Predictions of every predictor of a network in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models import layout
from yoloscope.models.decoding import decode_heads
from yoloscope.models.spec import DetectorSpec


@dataclass(frozen=True)
class PredictorPosition:
    """Position of a predictor: head, cell as (column, row), and position of its anchor within the head."""

    head: int
    cell: tuple[int, int]
    anchor: int


@dataclass(frozen=True)
class Predictions:
    """One row per predictor, head by head, then by anchor, row and column.

    ``boxes_xyxy_norm`` float32 [N, 4] as fractions of the network input, ``class_scores`` float32 [N, C] (objectness
    times class probability), ``objectness`` float32 [N].
    """

    boxes_xyxy_norm: Tensor
    class_scores: Tensor
    objectness: Tensor
    spec: DetectorSpec

    def position(self, row: int) -> PredictorPosition:
        """Return the position of the predictor of a row."""
        for index, head in enumerate(self.spec.heads):
            count = head.num_anchors * head.grid_height * head.grid_width
            if row < count:
                anchor, cell = divmod(row, head.grid_height * head.grid_width)
                return PredictorPosition(index, (cell % head.grid_width, cell // head.grid_width), anchor)
            row -= count
        raise IndexError(f"expected a row below {len(self.objectness)}, got {row} more")

    def row(self, position: PredictorPosition) -> int:
        """Return the row of the predictor at a position."""
        before = sum(h.num_anchors * h.grid_height * h.grid_width for h in self.spec.heads[: position.head])
        head = self.spec.heads[position.head]
        return before + (position.anchor * head.grid_height + position.cell[1]) * head.grid_width + position.cell[0]


@torch.no_grad()
def predict(heads: Sequence[Tensor], spec: DetectorSpec) -> Predictions:
    """Return the predictions of the raw heads of one image, each [1, ...]; raises SpecError where they do not fit."""
    decoded = decode_heads(heads, spec)
    objectness = [_objectness(head.float(), spec, index) for index, head in enumerate(heads)]
    return Predictions(decoded.boxes_xyxy_norm[0], decoded.class_scores[0], torch.cat(objectness), spec)


def _objectness(head: Tensor, spec: DetectorSpec, index: int) -> Tensor:
    head_spec = spec.heads[index]
    if head_spec.kind == "detection":
        flat = head_spec.detection_layout(spec.num_classes)
        raw = head[0, flat.confidences].reshape(flat.cells, flat.boxes_per_cell).T.flatten()
    else:
        entries = head[0].reshape(head_spec.num_anchors, -1, head_spec.grid_height * head_spec.grid_width)
        position = layout.GAUSSIAN_OBJECTNESS if head_spec.kind == "gaussian_yolo" else layout.OBJECTNESS
        raw = entries[:, position].flatten()
    return raw.sigmoid() if head_spec.activation == "sigmoid" else raw
