"""What is compared: the objects of a picture and what a detector found in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.structures import Detections
from training.data.audit import usable_rows
from training.data.datasets import LabelledImage


@dataclass(frozen=True)
class Truth:
    """The labelled objects of one picture.

    ``boxes_xyxy_px`` is float64 [M, 4] in pixels of the picture, ``class_ids`` int64 [M], ``areas_px`` float64 [M]
    (what COCO sorts small, medium and large by), ``crowd`` and ``difficult`` bool [M].
    """

    boxes_xyxy_px: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas_px: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def of_image(cls, image: LabelledImage) -> Truth:
        """Return the objects of a labelled picture that a detection can match (``training.data.audit.UNUSABLE``)."""
        rows = usable_rows(image)
        objects = [image.labels.objects[row] for row in rows]
        return cls(
            image.labels.boxes_xyxy_px[rows],
            image.labels.class_ids[rows],
            np.array([image.areas_px[row] for row in rows], np.float64),
            np.array([label.crowd for label in objects], np.bool_),
            np.array([label.difficult for label in objects], np.bool_),
        )


@dataclass(frozen=True)
class EvaluatedImage:
    """One picture: its truth, and the detections in pixels of the picture, score descending."""

    image_id: int
    truth: Truth
    detections: Detections
