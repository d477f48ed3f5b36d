"""Mosaic augmentation: four images in one, around a random cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ConfigError
from yoloscope.models.resize import resize_corner_aligned, to_whole_levels
from yoloscope.training.data.augment.geometry import STANDARD_VISIBILITY, Visibility, clip_boxes, resample
from yoloscope.training.data.sample import Sample, with_objects_of

Tile = tuple[int, int, int, int]


def mosaic_tiles(width: int, height: int, cut_x: int, cut_y: int) -> tuple[Tile, Tile, Tile, Tile]:
    """Return the four tiles (x1, y1, x2, y2): top left, top right, bottom left, bottom right."""
    return (
        (0, 0, cut_x, cut_y),
        (cut_x, 0, width, cut_y),
        (0, cut_y, cut_x, height),
        (cut_x, cut_y, width, height),
    )


@dataclass(frozen=True)
class Mosaic:
    """Four samples at the output's scale, each seen through one of four tiles.

    The cut is uniform in ``cut_low``..``cut_high`` of either side. Every image is brought to the output's scale:
    ``stretch`` gives it exactly the output's size, ``cover`` keeps its aspect to the pixel and the smaller excess. A
    window of its tile's size, at a uniform place, is shown. Boxes are cut to their tile and stay by ``visibility``.
    ``interpolation`` is that of ``yoloscope.models.spec.ResizeSpec``, so that images look as they will at inference.

    Source: Bochkovskiy et al., YOLOv4, 2020, section 3.3; the bounds of the cut are those of darknet's src/data.c.
    """

    width: int
    height: int
    cut_low: float = 0.2
    cut_high: float = 0.8
    placement: Literal["stretch", "cover"] = "stretch"
    interpolation: Literal["antialiased", "corner_aligned"] = "antialiased"
    visibility: Visibility = STANDARD_VISIBILITY

    def __post_init__(self) -> None:
        if self.width < 2 or self.height < 2 or not 0 <= self.cut_low <= self.cut_high <= 1:
            raise ConfigError(
                "expected a mosaic of at least 2 x 2 px and 0 <= cut_low <= cut_high <= 1, "
                f"got {self.width} x {self.height}, {self.cut_low} and {self.cut_high}"
            )

    def __call__(self, samples: Sequence[Sample], generator: np.random.Generator) -> Sample:
        """Return one sample of the output's size made of four."""
        shares = generator.uniform(self.cut_low, self.cut_high, 2)
        cut_x = int(np.clip(round(shares[0] * self.width), 1, self.width - 1))
        cut_y = int(np.clip(round(shares[1] * self.height), 1, self.height - 1))
        return self.compose(samples, cut_x, cut_y, generator.random((4, 2)))

    def compose(self, samples: Sequence[Sample], cut_x: int, cut_y: int, places: NDArray[np.float64]) -> Sample:
        """Return the mosaic for a cut in pixels and places [4, 2].

        A place (x, y) in 0..1 is where the window lies in what its image has to spare: 0 is the left or top end.
        Raise ConfigError unless there are four samples.
        """
        if len(samples) != 4:
            raise ConfigError(f"expected 4 samples for a mosaic, got {len(samples)}")
        canvas = np.empty((self.height, self.width, 3), np.uint8)
        tiles = mosaic_tiles(self.width, self.height, cut_x, cut_y)
        parts = []
        for sample, tile, place in zip(samples, tiles, places, strict=True):
            part = self._through_tile(sample, tile, place)
            canvas[tile[1] : tile[3], tile[0] : tile[2]] = part.image
            parts.append(part)
        return with_objects_of(canvas, parts)

    def _through_tile(self, sample: Sample, tile: Tile, place: NDArray[np.float64]) -> Sample:
        """Return the tile's pixels, with the boxes in the output's frame."""
        x1, y1, x2, y2 = tile
        whole_width, whole_height = self._whole_size(sample)
        left, top = float(place[0]) * (whole_width - x2 + x1), float(place[1]) * (whole_height - y2 + y1)
        if self.interpolation == "corner_aligned":
            left, top = round(left), round(top)
            window = left, top, left + x2 - x1, top + y2 - y1
            pixels = to_whole_levels(resize_corner_aligned(sample.image, whole_width, whole_height, window))
        else:
            across, down = sample.width / whole_width, sample.height / whole_height
            right, bottom = min((left + x2 - x1) * across, sample.width), min((top + y2 - y1) * down, sample.height)
            pixels = resample(sample.image, (left * across, top * down, right, bottom), x2 - x1, y2 - y1)
        scale = np.array((whole_width / sample.width, whole_height / sample.height) * 2)
        boxes = sample.boxes_xyxy_px * scale + np.array((x1 - left, y1 - top) * 2)
        seen = clip_boxes(boxes, tile)
        return sample.select(self.visibility.rows(boxes, seen), pixels, seen)

    def _whole_size(self, sample: Sample) -> tuple[int, int]:
        """Return the size of the whole image at the output's scale."""
        if self.placement == "stretch":
            return self.width, self.height
        scale = max(self.width / sample.width, self.height / sample.height)
        return round(sample.width * scale), round(sample.height * scale)
