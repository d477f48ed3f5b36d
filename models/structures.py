"""The objects of a batch that every part of the project hands to the next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.errors import LabelError


@dataclass(frozen=True)
class GroundTruth:
    """The objects of a batch of images, flat over the batch.

    ``boxes_cxcywh_norm`` is float [N, 4] as fractions of the network input, ``class_ids`` int64 [N], ``image_index``
    int64 [N] ascending in 0..batch_size-1. Order within an image is the order of its label file, which decides
    collisions in the presets that care. ``weights`` float [N] is the share with which each object enters the loss;
    None: all of it.
    """

    boxes_cxcywh_norm: Tensor
    class_ids: Tensor
    image_index: Tensor
    batch_size: int
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        n = len(self.class_ids)
        shapes = (tuple(self.boxes_cxcywh_norm.shape), tuple(self.class_ids.shape), tuple(self.image_index.shape))
        if shapes != ((n, 4), (n,), (n,)):
            raise LabelError(f"expected ground truth of shapes [N, 4], [N], [N], got {', '.join(map(str, shapes))}")
        if self.weights is not None and tuple(self.weights.shape) != (n,):
            raise LabelError(f"expected a weight for each of {n} objects, got {tuple(self.weights.shape)}")
        if n and bool((self.image_index[1:] < self.image_index[:-1]).any()):
            raise LabelError("expected image_index ascending, got it out of order")
        if n and not 0 <= int(self.image_index[0]) <= int(self.image_index[-1]) < self.batch_size:
            raise LabelError(
                f"expected image_index in 0..{self.batch_size - 1}, "
                f"got {int(self.image_index[0])}..{int(self.image_index[-1])}"
            )

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def empty(cls, batch_size: int) -> GroundTruth:
        """Return a batch without objects."""
        return cls(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), batch_size)

    @property
    def has_area(self) -> Tensor:
        """Mask bool [N] of the objects whose width and height are above 0."""
        return (self.boxes_cxcywh_norm[:, 2:] > 0).all(-1)

    @property
    def first_rows(self) -> Tensor:
        """Row int64 [B] at which each image's objects begin."""
        counts = torch.bincount(self.image_index, minlength=self.batch_size)
        return counts.cumsum(0) - counts

    def to(self, device: torch.device | str) -> GroundTruth:
        """Return a copy whose tensors live on ``device``."""
        return GroundTruth(
            self.boxes_cxcywh_norm.to(device),
            self.class_ids.to(device),
            self.image_index.to(device),
            self.batch_size,
            None if self.weights is None else self.weights.to(device),
        )
