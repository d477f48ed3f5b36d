"""Resizing or letterboxing an image to the network's input, and mapping boxes back; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ImageError
from yoloscope.models.resize import (
    SourceGrid,
    antialiased_grid,
    corner_aligned_grid,
    resize_antialiased,
    resize_corner_aligned,
    resize_samples,
    to_whole_levels,
)
from yoloscope.models.spec import DetectorSpec

GREY_WEIGHTS = (77 / 256, 150 / 256, 29 / 256)
"""Shares of red, green and blue in a gray level: those of stb_image (stbi__compute_y), with which darknet reads."""

_RESIZES = {"corner_aligned": resize_corner_aligned, "antialiased": resize_antialiased}


@dataclass(frozen=True)
class Placement:
    """Rectangle that an image fills on the network's input, in whole network pixels.

    The image fills the rectangle of ``width`` x ``height`` at (``left``, ``top``); fractions of the image are
    fractions of that rectangle, which is the frame that labels and detections of darknet live in.
    """

    image_width: int
    image_height: int
    left: int
    top: int
    width: int
    height: int

    def invert(self, boxes_xyxy: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return boxes [N, 4] of network pixels in pixels of the image, unclipped."""
        return (boxes_xyxy - self._offset()) / self._scale()

    def apply(self, boxes_xyxy: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return boxes [N, 4] of image pixels in pixels of the network's input."""
        return boxes_xyxy * self._scale() + self._offset()

    def _offset(self) -> NDArray[np.float64]:
        return np.array((self.left, self.top) * 2, np.float64)

    def _scale(self) -> NDArray[np.float64]:
        return np.array((self.width / self.image_width, self.height / self.image_height) * 2)


def placement_of(image_width: int, image_height: int, spec: DetectorSpec) -> Placement:
    """Return where an image of this size lies.

    Letterboxing fits the longer side and cuts the other to whole pixels, at least one; an odd margin is smaller on the
    left and on top. Source: darknet src/image.c, letterbox_image.
    """
    width, height = spec.input_width, spec.input_height
    if spec.resize.placement == "letterbox":
        if width * image_height < height * image_width:
            height = max(image_height * width // image_width, 1)
        else:
            width = max(image_width * height // image_height, 1)
    left, top = (spec.input_width - width) // 2, (spec.input_height - height) // 2
    return Placement(image_width, image_height, left, top, width, height)


def preprocess(image: NDArray[np.uint8], spec: DetectorSpec) -> tuple[NDArray[np.float32], Placement]:
    """Resize or letterbox an image uint8 [h, w, P] to the network's input; return it and its placement.

    P is ``spec.image_planes``, 3 (RGB) for RGB and gray networks. The result is float32 [H, W, P] in levels 0..255 as
    interpolated; for a gray network all planes are the gray image, made of whole levels before it is resized, as in
    darknet. Raises ImageError where the image has another type or shape, or no pixels.
    """
    planes = spec.image_planes
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != planes or not image.size:
        raise ImageError(f"expected an image of uint8 [H, W, {planes}], got {image.dtype} {list(image.shape)}")
    if spec.input_channels == 1:
        image = to_gray(image)
    placement = placement_of(image.shape[1], image.shape[0], spec)
    resize = _RESIZES[spec.resize.interpolation]
    resized = resize(image, placement.width, placement.height)
    return _on_canvas(resized, placement, spec), placement


def grid_of(image_width: int, image_height: int, spec: DetectorSpec) -> SourceGrid:
    """Return the rows and columns of an image of this size that ``preprocess`` reads."""
    placement = placement_of(image_width, image_height, spec)
    if spec.resize.interpolation == "antialiased":
        return antialiased_grid(image_width, image_height, placement.width, placement.height)
    return corner_aligned_grid(image_width, image_height, placement.width, placement.height)


def preprocess_samples(
    samples: NDArray[np.uint8], grid: SourceGrid, image_width: int, image_height: int, spec: DetectorSpec
) -> tuple[NDArray[np.float32], Placement]:
    """Return what ``preprocess`` does of an image whose rows and columns of ``grid_of`` are there: uint8 [R, C, 3]."""
    if spec.input_channels == 1:
        samples = to_gray(samples)
    placement = placement_of(image_width, image_height, spec)
    if spec.resize.interpolation == "corner_aligned":
        resized = resize_samples(samples, grid, image_width, image_height, placement.width, placement.height)
    else:
        resized = resize_antialiased(samples, placement.width, placement.height)
    return _on_canvas(resized, placement, spec), placement


def preprocess_uint8(image: NDArray[np.uint8], spec: DetectorSpec) -> tuple[NDArray[np.uint8], Placement]:
    """Resize or letterbox an image as ``preprocess`` does, and round its levels: uint8 [H, W, P].

    Rounding moves scores by up to .03 and boxes by up to .003 of the image. Raises ImageError as ``preprocess`` does.
    """
    levels, placement = preprocess(image, spec)
    return to_whole_levels(levels), placement


def to_gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB image uint8 [h, w, 3] with its gray level in all planes: (77 r + 150 g + 29 b) >> 8.

    A gray image comes out as it is. Source: stb_image.h, stbi__compute_y, by which darknet reads for ``channels=1``.
    """
    red, green, blue = (image[..., plane].astype(np.uint16) for plane in range(3))
    gray = ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def _on_canvas(resized: NDArray[np.float32], placement: Placement, spec: DetectorSpec) -> NDArray[np.float32]:
    whole = (spec.input_height, spec.input_width, spec.image_planes)
    if resized.shape == whole:
        return resized
    canvas = np.full(whole, spec.resize.pad_value, np.float32)
    bottom, right = placement.top + placement.height, placement.left + placement.width
    canvas[placement.top : bottom, placement.left : right] = resized
    return canvas
