"""CutMix and MixUp for detection: a patch of another image, or two images blended with the objects of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.geometry import (
    FILL,
    STANDARD_VISIBILITY,
    Visibility,
    box_areas,
    clip_boxes,
    resize,
    uncovered_boxes,
)
from yoloscope.training.data.sample import Sample, with_objects_of


def cutmix(base: Sample, donor: Sample, patch_xyxy_px: tuple[int, int, int, int], visibility: Visibility) -> Sample:
    """Return ``base`` with a patch taken from the same place of ``donor``, which is stretched to its size if needed.

    Objects of the base stay by the share of their area outside the patch, their boxes shrunk to what the patch leaves
    where it covers a whole side. Objects of the donor are cut to the patch and stay by the share inside it.

    Source: Yun et al., CutMix, 2019, equations 1 and 2; the treatment of boxes is this project's.
    """
    if (donor.width, donor.height) != (base.width, base.height):
        donor = resize(donor, base.width, base.height)
    x1, y1, x2, y2 = patch_xyxy_px
    image = base.image.copy()
    image[y1:y2, x1:x2] = donor.image[y1:y2, x1:x2]

    hidden_area = box_areas(clip_boxes(base.boxes_xyxy_px, patch_xyxy_px))
    remaining = uncovered_boxes(base.boxes_xyxy_px, patch_xyxy_px)
    visible_area = box_areas(base.boxes_xyxy_px) - hidden_area
    staying = visibility.rows_by_area(base.boxes_xyxy_px, remaining, visible_area)
    inside = clip_boxes(donor.boxes_xyxy_px, patch_xyxy_px)
    entering = visibility.rows(donor.boxes_xyxy_px, inside)
    return with_objects_of(image, [base.select(staying, image, remaining), donor.select(entering, image, inside)])


@dataclass(frozen=True)
class CutMix:
    """Cut a patch of share 1 - lambda, lambda ~ Beta(alpha, alpha), with the image's aspect, around a uniform center.

    What of the patch falls outside the image is cut off; alpha 0 leaves the base as it is.
    """

    alpha: float = 1.0
    visibility: Visibility = STANDARD_VISIBILITY

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ConfigError(f"expected alpha >= 0, got {self.alpha}")

    def __call__(self, base: Sample, donor: Sample, generator: np.random.Generator) -> Sample:
        """Return the base with a patch of the donor."""
        if self.alpha == 0:
            return base
        side_share = math.sqrt(1 - generator.beta(self.alpha, self.alpha))
        center_x, center_y = generator.random(2)
        x1, x2 = _span(center_x, side_share, base.width)
        y1, y2 = _span(center_y, side_share, base.height)
        return base if x1 == x2 or y1 == y2 else cutmix(base, donor, (x1, y1, x2, y2), self.visibility)


def _span(center_share: float, length_share: float, side: int) -> tuple[int, int]:
    """Return the whole pixels of one axis that the patch covers."""
    low = round((center_share - length_share / 2) * side)
    high = round((center_share + length_share / 2) * side)
    return max(low, 0), min(high, side)


def mixup(first: Sample, second: Sample, share: float, fill: int = FILL) -> Sample:
    """Return ``share`` of the first image plus the rest of the second.

    Both lie at the top left of a canvas that holds either, otherwise ``fill``; no image is resized. The weights of
    the objects are multiplied by their image's share, and objects of weight 0 are left out.

    Source: Zhang et al., mixup, 2018, equation 1, and Zhang et al., Bag of Freebies for Training Object Detection
    Neural Networks, 2019, section 3.1 (the canvas).
    """
    width, height = max(first.width, second.width), max(first.height, second.height)
    blend = share * _on_canvas(first, width, height, fill) + (1 - share) * _on_canvas(second, width, height, fill)
    parts = [_at_weight(sample, weight) for sample, weight in ((first, share), (second, 1 - share)) if weight > 0]
    return with_objects_of(np.rint(blend).astype(np.uint8), parts)


@dataclass(frozen=True)
class MixUp:
    """Mix with a share drawn from Beta(alpha, alpha); alpha 0 leaves the first sample as it is."""

    alpha: float = 1.5
    fill: int = FILL

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ConfigError(f"expected alpha >= 0, got {self.alpha}")

    def __call__(self, first: Sample, second: Sample, generator: np.random.Generator) -> Sample:
        """Return the mixture of two samples."""
        if self.alpha == 0:
            return first
        return mixup(first, second, float(generator.beta(self.alpha, self.alpha)), self.fill)


def _on_canvas(sample: Sample, width: int, height: int, fill: int) -> NDArray[np.float32]:
    canvas = np.full((height, width, 3), fill, np.float32)
    canvas[: sample.height, : sample.width] = sample.image
    return canvas


def _at_weight(sample: Sample, weight: float) -> Sample:
    return replace(sample, weights=sample.weights * np.float32(weight))
