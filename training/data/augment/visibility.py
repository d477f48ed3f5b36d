"""Cutting boxes, and deciding which of them still show enough of their object to be a label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError

Boxes = NDArray[np.floating]
Window = tuple[float, float, float, float]


def box_areas(boxes_xyxy_px: Boxes) -> NDArray[np.float64]:
    """Return the areas [N] of boxes [N, 4]; 0 where an extent is negative."""
    extent = np.maximum(boxes_xyxy_px[:, 2:].astype(np.float64) - boxes_xyxy_px[:, :2], 0)
    return np.asarray(extent[:, 0] * extent[:, 1], np.float64)


def clip_boxes(boxes_xyxy_px: Boxes, window_xyxy_px: Window) -> NDArray[np.float64]:
    """Return the parts of boxes [N, 4] inside a window; a box wholly outside comes back without area."""
    x1, y1, x2, y2 = window_xyxy_px
    return np.clip(boxes_xyxy_px.astype(np.float64), (x1, y1, x1, y1), (x2, y2, x2, y2))


def uncovered_boxes(boxes_xyxy_px: Boxes, window_xyxy_px: Window) -> NDArray[np.float64]:
    """Return the smallest boxes [N, 4] around what of each box lies outside an opaque window.

    A side moves only where the window covers the box from edge to edge across it; a box wholly covered loses its area.
    """
    boxes = boxes_xyxy_px.astype(np.float64)
    covered = clip_boxes(boxes, window_xyxy_px)
    low_reached, high_reached = covered[:, :2] <= boxes[:, :2], covered[:, 2:] >= boxes[:, 2:]
    spans_other_axis = (low_reached & high_reached)[:, ::-1] & (box_areas(covered) > 0)[:, None]
    low = np.where(spans_other_axis & low_reached, covered[:, 2:], boxes[:, :2])
    high = np.where(spans_other_axis & high_reached, covered[:, :2], boxes[:, 2:])
    return np.concatenate((low, np.maximum(low, high)), axis=1)


@dataclass(frozen=True)
class Visibility:
    """Which cut boxes stay: at least ``min_area_share`` of the area visible and both sides ``min_side_px`` long.

    The area is that before the cut at hand. A box that was not cut always stays; one without visible area never does.
    """

    min_area_share: float = 0.2
    min_side_px: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_area_share <= 1 or self.min_side_px < 0:
            raise ConfigError(
                "expected min_area_share in 0..1 and min_side_px >= 0, "
                f"got {self.min_area_share} and {self.min_side_px}"
            )

    def rows(self, before_xyxy_px: Boxes, after_xyxy_px: Boxes) -> NDArray[np.bool_]:
        """Return which [N] of the boxes stay, judged by their shape before and after a cut."""
        return self.rows_by_area(before_xyxy_px, after_xyxy_px, box_areas(after_xyxy_px))

    def rows_by_area(
        self, before_xyxy_px: Boxes, after_xyxy_px: Boxes, visible_area: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return which [N] stay where the visible area [N], in px^2, is not the whole of the cut box."""
        total = box_areas(before_xyxy_px)
        whole = (after_xyxy_px == before_xyxy_px).all(axis=1) & (visible_area >= total)
        sides = (after_xyxy_px[:, 2:] - after_xyxy_px[:, :2]).min(axis=1, initial=np.inf)
        enough = (visible_area >= self.min_area_share * total) & (sides >= self.min_side_px) & (visible_area > 0)
        return np.asarray(whole | enough, np.bool_)


STANDARD_VISIBILITY = Visibility()
