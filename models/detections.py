"""Detections in one image: what a runtime returns, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """Detections in one image, score descending.

    ``boxes_xyxy`` is float32 [N, 4] in the pixels of the frame that the producer names, ``scores`` float32 [N],
    ``class_ids`` int64 [N].
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Detections:
        """Return the given rows, in the given order."""
        return Detections(self.boxes_xyxy[rows], self.scores[rows], self.class_ids[rows])
