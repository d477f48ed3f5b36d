"""Pairs of one predictor and one object within a head.

What a predictor is to the loss, and what became of an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import torch
from torch import Tensor

from yoloscope.training.assignment.geometry import HeadGeometry


class Role(IntEnum):
    """Part that one predictor (cell and anchor) plays.

    ``PRIOR`` is a background predictor during the early phase of YOLOv2 training that pulls every predictor towards its
    anchor (darknet src/region_layer.c); ignored ones are pulled too and keep their role.
    """

    BACKGROUND = 0
    IGNORED = 1
    RESPONSIBLE = 2
    EXTRA = 3
    PRIOR = 4


class Fate(IntEnum):
    """What became of one object.

    ``COLLIDED``: every predictor that should have served it serves another object. ``LOST``: no head has a predictor
    for it: its best anchor belongs to no head, no anchor passes the rule, or the box has no area.
    """

    SERVED = 0
    COLLIDED = 1
    LOST = 2


@dataclass(frozen=True)
class HeadMatches:
    """R pairs of predictor and object in one head, by ascending object, then anchor.

    ``objects`` int64 [R] rows of the ground truth, ``images``, ``anchors`` (position in the head), ``rows``,
    ``columns`` int64 [R] place the predictor; ``extra`` bool [R] marks anchors other than the best;
    ``anchor_iou`` float [R] is the overlap of anchor and object, both centered.
    """

    geometry: HeadGeometry
    objects: Tensor
    images: Tensor
    anchors: Tensor
    rows: Tensor
    columns: Tensor
    extra: Tensor
    anchor_iou: Tensor

    def __len__(self) -> int:
        return len(self.objects)

    @cached_property
    def predictors(self) -> Tensor:
        """Flat index int64 [R] into the head's predictors [B, A, h, w]."""
        _, num_anchors, height, width = self.geometry.shape
        return ((self.images * num_anchors + self.anchors) * height + self.rows) * width + self.columns

    def select(self, keep: Tensor) -> HeadMatches:
        """Return the pairs at the given indices or mask, in that order."""
        return HeadMatches(
            self.geometry,
            self.objects[keep],
            self.images[keep],
            self.anchors[keep],
            self.rows[keep],
            self.columns[keep],
            self.extra[keep],
            self.anchor_iou[keep],
        )


def cells_of(boxes_cxcywh_norm: Tensor, geometry: HeadGeometry) -> tuple[Tensor, Tensor]:
    """Return (columns, rows) int64 [N] of the cells that hold the box centers.

    A center at exactly 1 belongs to the last cell: darknet would write into the next row there
    (src/yolo_layer.c, entry_index).
    """
    columns = (boxes_cxcywh_norm[:, 0] * geometry.grid_width).long().clamp(0, geometry.grid_width - 1)
    rows = (boxes_cxcywh_norm[:, 1] * geometry.grid_height).long().clamp(0, geometry.grid_height - 1)
    return columns, rows


def cell_offsets(boxes_cxcywh_norm: Tensor, columns: Tensor, rows: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return the centers [R, 2] relative to their cells' corners, in cells."""
    x = boxes_cxcywh_norm[:, 0] * geometry.grid_width - columns
    y = boxes_cxcywh_norm[:, 1] * geometry.grid_height - rows
    return torch.stack((x, y), dim=-1)
