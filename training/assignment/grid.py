"""Grid cells, anchors and predictors of a head, and the pairs of predictor and object on it.

A predictor is one anchor of one cell of one head; it is placed by (image, anchor, row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import torch
from torch import Tensor

from yoloscope.models.errors import SpecError
from yoloscope.models.spec import DetectorSpec, HeadSpec


@dataclass(frozen=True)
class HeadGeometry:
    """Grid, anchors and network size of one head in one batch.

    ``anchors_px`` are those of this head, in network pixels; ``net_width`` and ``net_height`` are the size of the batch
    at hand, which multi-scale training varies around the spec's.
    """

    spec: HeadSpec
    index: int
    batch_size: int
    num_classes: int
    grid_width: int
    grid_height: int
    net_width: float
    net_height: float
    anchors_px: tuple[tuple[float, float], ...]

    @property
    def num_anchors(self) -> int:
        """Predictors per grid cell."""
        return self.spec.num_anchors

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Predictors of the batch as (B, A, h, w)."""
        return self.batch_size, self.num_anchors, self.grid_height, self.grid_width

    @property
    def anchors_norm(self) -> tuple[tuple[float, float], ...]:
        """Anchors of this head as fractions of the network input."""
        return tuple((w / self.net_width, h / self.net_height) for w, h in self.anchors_px)


def head_geometries(heads: Sequence[Tensor], spec: DetectorSpec) -> tuple[HeadGeometry, ...]:
    """Return the geometry of every head tensor; raise SpecError where tensors and spec disagree.

    Channels must be those of the spec. The grid may differ from the spec's, by one factor for all heads: that is a
    batch at another network size, with the same anchors in pixels.
    """
    if len(heads) != len(spec.heads):
        raise SpecError(f"expected {len(spec.heads)} head tensors, got {len(heads)}")
    geometries = tuple(_geometry(head, index, spec) for index, head in enumerate(heads))
    sizes = {(g.net_width, g.net_height, g.batch_size) for g in geometries}
    if len(sizes) > 1:
        raise SpecError(f"expected heads of one network size and batch, got (width, height, batch) {sorted(sizes)}")
    return geometries


def _geometry(head: Tensor, index: int, spec: DetectorSpec) -> HeadGeometry:
    head_spec = spec.heads[index]
    expected = spec.head_shape(index, head.shape[0])
    if head_spec.kind == "detection":
        fits = tuple(head.shape) == expected
        grid_height, grid_width = head_spec.grid_height, head_spec.grid_width
    else:
        fits = head.ndim == 4 and head.shape[1] == expected[1]
        grid_height, grid_width = head.shape[-2:]
    if not fits:
        raise SpecError(f"expected head {index} of shape {expected}, got {tuple(head.shape)}")
    stride_x, stride_y = spec.head_stride(index)
    return HeadGeometry(
        spec=head_spec,
        index=index,
        batch_size=head.shape[0],
        num_classes=spec.num_classes,
        grid_width=grid_width,
        grid_height=grid_height,
        net_width=stride_x * grid_width,
        net_height=stride_y * grid_height,
        anchors_px=spec.head_anchors_px(index),
    )


class Role(IntEnum):
    """Role of one predictor (cell and anchor) in the loss.

    ``PRIOR`` is a background predictor during the early phase of YOLOv2 training that pulls every predictor towards its
    anchor (darknet src/region_layer.c); ignored ones are pulled too and keep their role.
    """

    BACKGROUND = 0
    IGNORED = 1
    RESPONSIBLE = 2
    EXTRA = 3
    PRIOR = 4


class MatchStatus(IntEnum):
    """Result of the assignment for one object.

    ``COLLIDED``: every predictor that matched it is assigned to another object. ``LOST``: no head has a predictor for
    it: its best anchor belongs to no head, no anchor passes the rule, or the box has no area.
    """

    ASSIGNED = 0
    COLLIDED = 1
    LOST = 2


@dataclass(frozen=True)
class HeadMatches:
    """R matched pairs of predictor and object in one head, by ascending object, then anchor.

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
