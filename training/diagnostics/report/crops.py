"""Parts of images around findings, as JPEG data URIs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yoloscope.models.errors import DatasetError, ImageError
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.diagnostics.findings import Finding
from yoloscope.training.diagnostics.image_names import ImageFinder

_CONTEXT: Final = 0.625
"""Margin at each side, as a share of the boxes' larger side."""
_LEAST_PX: Final = 48
_MOST_PX: Final = 360
_QUALITY: Final = 82


@dataclass(frozen=True)
class Crop:
    """A part of an image: its box in pixels of the image, and its JPEG as a data URI."""

    left: int
    top: int
    width: int
    height: int
    uri: str


def make_crops(findings: Iterable[Finding], dataset: DetectionDataset) -> Mapping[Finding, Crop | str]:
    """Return the surroundings of each finding, or in words why there are none; one image is in memory at a time."""
    finder = ImageFinder(dataset.images)
    by_image: dict[str, list[Finding]] = {}
    for finding in findings:
        by_image.setdefault(finding.image, []).append(finding)
    crops: dict[Finding, Crop | str] = {}
    for name, group in by_image.items():
        image = finder.find(name)
        if image is None:
            crops |= dict.fromkeys(group, "The image is not in the data set.")
            continue
        try:
            pixels = image.read()
        except (ImageError, DatasetError) as error:
            crops |= dict.fromkeys(group, f"The image cannot be read: {error}")
            continue
        crops |= {finding: _crop(pixels, finding) for finding in group}
    return crops


def _crop(pixels: NDArray[np.uint8], finding: Finding) -> Crop:
    boxes = [finding.box_xyxy_px] + ([finding.suggestion.box_xyxy_px] if finding.suggestion else [])
    corners = np.array(boxes)
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    half = max(float((high - low).max()) * (0.5 + _CONTEXT), _LEAST_PX / 2)
    center, size = (low + high) / 2, np.array(pixels.shape[1::-1])
    start = np.clip(np.floor(center - half), 0, size - 1).astype(int)
    end = np.clip(np.ceil(center + half), start + 1, size).astype(int)
    part = Image.fromarray(pixels[start[1] : end[1], start[0] : end[0]])
    part.thumbnail((_MOST_PX, _MOST_PX))
    data = BytesIO()
    part.save(data, "JPEG", quality=_QUALITY)
    uri = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    return Crop(int(start[0]), int(start[1]), int(end[0] - start[0]), int(end[1] - start[1]), uri)
