"""Moving pixels and boxes together: windows, resizing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.resize import as_picture
from training.data.augment.visibility import Visibility, Window, clip_boxes
from training.data.sample import Sample

FILL = 127


def resample(image: NDArray[np.uint8], window_xyxy_px: Window, width: int, height: int) -> NDArray[np.uint8]:
    """Return a window (fractional, inside the picture) of [H, W, 3] at a new size, antialiased bilinear."""
    whole: Window = (0, 0, width, height)
    if image.shape[:2] == (height, width) and window_xyxy_px == whole:
        return image.copy()
    return np.array(as_picture(image).resize((width, height), Image.Resampling.BILINEAR, box=window_xyxy_px))


def resize(sample: Sample, width: int, height: int) -> Sample:
    """Return the sample stretched to a size; no box is lost."""
    image = resample(sample.image, (0, 0, sample.width, sample.height), width, height)
    boxes = sample.boxes_xyxy_px * _corner_pair(width / sample.width, height / sample.height)
    return sample.select(np.ones(len(sample), np.bool_), image, boxes)


def crop(sample: Sample, window_xyxy_px: tuple[int, int, int, int], visibility: Visibility, fill: int = FILL) -> Sample:
    """Return what a window shows, as a sample of the window's size.

    Where the window reaches beyond the picture the pixels are ``fill``; a window inside is a view of the picture. Boxes
    are cut to window and picture.
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
