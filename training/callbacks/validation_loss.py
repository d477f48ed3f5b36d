"""The loss on the pictures that are validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.preprocess import placement_of
from models.spec import DetectorSpec
from training.data.annotations import ImageLabels, to_ground_truth
from training.data.audit import usable_rows
from training.data.augment.visibility import clip_boxes
from training.data.datasets import LabelledImage
from training.losses import compute_loss
from training.training_log import log_values


class ValidationLoss:
    """The loss of a run, its terms and scales, as means over the pictures of all batches added."""

    def __init__(self, spec: DetectorSpec, images_seen: int) -> None:
        self._spec, self._images_seen = spec, images_seen
        self._sums: dict[str, float] = {}
        self._pictures = 0

    def add(self, heads: Sequence[Tensor], images: Sequence[LabelledImage]) -> None:
        """Add a batch: its raw heads, and its pictures, of which the objects that can be learnt count.

        A box over the edge of its picture is cut there, as in training.
        """
        labels = [_learnt(one) for one in images]
        placements = [placement_of(one.width, one.height, self._spec) for one in images]
        truth = to_ground_truth(labels, placements, self._spec).to(heads[0].device)
        with torch.inference_mode():
            report = compute_loss(tuple(heads), truth, self._spec, preset=None, images_seen=self._images_seen)
        for key, value in log_values([report], self._spec).items():
            self._sums[key] = self._sums.get(key, 0.0) + value * len(images)
        self._pictures += len(images)

    def values(self) -> dict[str, float]:
        """Return ``val/loss``, ``val/loss/TERM``, ``val/loss/stride_S`` and ``val/loss/stride_S/TERM``."""
        return {f"val/{key}": value / self._pictures for key, value in self._sums.items()}


def _learnt(image: LabelledImage) -> ImageLabels:
    rows = usable_rows(image)
    inside = clip_boxes(image.labels.boxes_xyxy_px[rows], (0.0, 0.0, image.width, image.height)).tolist()
    objects = [
        replace(image.labels.objects[row], box_xyxy_px=tuple(box)) for row, box in zip(rows, inside, strict=True)
    ]
    return replace(image.labels, objects=tuple(objects))
