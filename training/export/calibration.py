"""Pictures that ranges are taken from: of a labelled data set, or of any folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import DatasetError
from models.preprocess import place_exactly
from models.spec import DetectorSpec
from training.data.datasets import open_dataset
from training.data.datasets.pictures import find_pictures, read_picture

LEAST_PICTURES: Final = 4


@dataclass(frozen=True)
class CalibrationPictures:
    """Pictures spread evenly over those of a data set or folder; ``name`` says where they are from."""

    name: str
    paths: tuple[Path, ...]

    def levels(self, spec: DetectorSpec) -> list[NDArray[np.float32]]:
        """Return the pictures as they are placed for detection, in levels 0..255, each float32 [H, W, 3]."""
        return [place_exactly(read_picture(path), spec)[0] for path in self.paths]


def find_calibration(data: Path, split: str | None, count: int) -> CalibrationPictures:
    """Return at most ``count`` pictures of a labelled data set, or of a folder without labels.

    Raises DatasetError where there are fewer than four, or where a part is asked of a folder that has none.
    """
    paths = _all_pictures(data, split)
    if len(paths) < LEAST_PICTURES or count < LEAST_PICTURES:
        raise DatasetError(
            f"expected at least {LEAST_PICTURES} calibration pictures (some 64 are better), "
            f"got {min(len(paths), count)} of {data}"
        )
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    name = data.resolve().name + (f" ({split})" if split else "")
    return CalibrationPictures(name, tuple(paths[place] for place in places))


def _all_pictures(data: Path, split: str | None) -> tuple[Path, ...]:
    try:
        return tuple(image.path for image in open_dataset(data, split).images)
    except DatasetError:
        if split is not None or not data.is_dir():
            raise
        return find_pictures(data)


def network_inputs(levels: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return placed pictures [H, W, 3] in levels 0..255 as what the network sees: [1, 3, H, W] in 0..1."""
    return [np.ascontiguousarray(one.transpose(2, 0, 1)[None] / np.float32(255)) for one in levels]
