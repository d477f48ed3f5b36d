"""Geometry of samples: resize, crop, and placement on the network input; visibility of the boxes that are cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yoloscope.models.errors import ConfigError
from yoloscope.models.preprocess import preprocess_uint8
from yoloscope.models.resize import as_image
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.sample import Sample

Boxes = NDArray[np.floating]
Window = tuple[float, float, float, float]

FILL = 127
"""Gray level of uncovered pixels, as in darknet."""


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
    """Rule for cut boxes: those with enough visible area and long enough sides stay.

    At least ``min_area_share`` of the area must be visible and both sides be ``min_side_px`` long. The area is that
    before the cut at hand. A box that was not cut always stays; one without visible area never does.
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


def resample(image: NDArray[np.uint8], window_xyxy_px: Window, width: int, height: int) -> NDArray[np.uint8]:
    """Return a window (fractional, inside the image) of [H, W, 3] at a new size, antialiased bilinear."""
    whole: Window = (0, 0, width, height)
    if image.shape[:2] == (height, width) and window_xyxy_px == whole:
        return image.copy()
    return np.array(as_image(image).resize((width, height), Image.Resampling.BILINEAR, box=window_xyxy_px))


def resize(sample: Sample, width: int, height: int) -> Sample:
    """Return the sample stretched to a size; no box is lost."""
    image = resample(sample.image, (0, 0, sample.width, sample.height), width, height)
    boxes = sample.boxes_xyxy_px * _corner_pair(width / sample.width, height / sample.height)
    return sample.select(np.ones(len(sample), np.bool_), image, boxes)


def crop(sample: Sample, window_xyxy_px: tuple[int, int, int, int], visibility: Visibility, fill: int = FILL) -> Sample:
    """Return the part of a sample inside a window, at the window's size.

    Where the window reaches beyond the image the pixels are ``fill``; a window inside is a view of the image. Boxes
    are cut to window and image.
    """
    x1, y1, x2, y2 = window_xyxy_px
    inside = max(x1, 0), max(y1, 0), min(x2, sample.width), min(y2, sample.height)
    image = sample.image[inside[1] : inside[3], inside[0] : inside[2]]
    if inside != window_xyxy_px:
        part, image = image, np.full((y2 - y1, x2 - x1, 3), fill, np.uint8)
        if inside[0] < inside[2] and inside[1] < inside[3]:
            image[inside[1] - y1 : inside[3] - y1, inside[0] - x1 : inside[2] - x1] = part
    boxes = clip_boxes(sample.boxes_xyxy_px, inside)
    rows = visibility.rows(sample.boxes_xyxy_px, boxes)
    return sample.select(rows, image, boxes - _corner_pair(x1, y1))


def _corner_pair(x: float, y: float) -> NDArray[np.float64]:
    return np.array((x, y, x, y), np.float64)


def place_sample(sample: Sample, spec: DetectorSpec, visibility: Visibility = STANDARD_VISIBILITY) -> Sample:
    """Return the sample as network input of ``spec``, boxes in network pixels.

    Only the input size and ``spec.resize`` are read. Boxes are cut to the image first, for labels that reach beyond
    it; one that lies inside always stays, however small it becomes.
    """
    image, placement = preprocess_uint8(sample.image, spec)
    inside = clip_boxes(sample.boxes_xyxy_px, (0, 0, sample.width, sample.height))
    rows = visibility.rows(sample.boxes_xyxy_px, inside)
    return sample.select(rows, image, placement.apply(inside))
