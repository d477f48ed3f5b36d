"""A training sample: one image with its boxes, class ids and object weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from yoloscope.models.errors import LabelError

_TYPES = tuple(map(np.dtype, ("uint8", "float32", "int64", "float32")))


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with its objects.

    ``image`` is uint8 [H, W, 3], RGB; ``boxes_xyxy_px`` float32 [N, 4] in its pixels, where pixel i covers i..i+1 and
    the far edge is W or H; ``class_ids`` int64 [N]; ``weights`` float32 [N], the share with which an object enters the
    loss (below 1 after MixUp only). Raise LabelError for other shapes or types.
    """

    image: NDArray[np.uint8]
    boxes_xyxy_px: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.class_ids)
        got = (self.image.shape[2:], self.boxes_xyxy_px.shape, self.class_ids.shape, self.weights.shape)
        if self.image.ndim != 3 or got != ((3,), (n, 4), (n,), (n,)):
            shapes = ", ".join(map(str, (self.image.shape, *got[1:])))
            raise LabelError(f"expected a sample of shapes [H, W, 3], [N, 4], [N], [N], got {shapes}")
        types = tuple(part.dtype for part in (self.image, self.boxes_xyxy_px, self.class_ids, self.weights))
        if types != _TYPES:
            names = ", ".join(map(str, types))
            raise LabelError(f"expected a sample of types uint8, float32, int64, float32, got {names}")

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def of(cls, image: NDArray[np.uint8], boxes_xyxy_px: ArrayLike = (), class_ids: ArrayLike = ()) -> Sample:
        """Return a sample of anything array-like, every object at weight 1."""
        boxes = np.array(boxes_xyxy_px, np.float32).reshape(-1, 4)
        return cls(image, boxes, np.array(class_ids, np.int64).reshape(-1), np.ones(len(boxes), np.float32))

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.image.shape[0])

    def with_image(self, image: NDArray[np.uint8]) -> Sample:
        """Return the same objects on another image of the same size."""
        return replace(self, image=image)

    def select(self, rows: NDArray[np.bool_], image: NDArray[np.uint8], boxes_xyxy_px: NDArray[np.floating]) -> Sample:
        """Return the objects where ``rows`` [N] is true, with ``boxes_xyxy_px`` [N, 4], on ``image``."""
        boxes = boxes_xyxy_px[rows].astype(np.float32)
        return Sample(image, boxes, self.class_ids[rows], self.weights[rows])


def with_objects_of(image: NDArray[np.uint8], parts: Sequence[Sample]) -> Sample:
    """Return one sample on ``image`` holding the objects of all ``parts``, in order."""
    return Sample(
        image,
        np.concatenate([part.boxes_xyxy_px for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )
