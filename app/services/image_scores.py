"""The loss of one image's labels by the raw heads that a model gave for it, in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yoloscope.app.services.inference import PreprocessedImage
from yoloscope.app.services.scoring import ScoreQuery
from yoloscope.models.preprocess import Placement
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import ImageLabels, LabelObject
from yoloscope.training.data.annotations.ground_truth import network_boxes, to_ground_truth
from yoloscope.training.diagnostics.predictions import Predictions, predict
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.names import Detail
from yoloscope.training.losses.report import LossReport


@dataclass(frozen=True)
class Scored:
    """The loss of one image's labels, and what its answer in the image's own pixels needs.

    The report is of detail ``cells`` unless ``detail`` is ``summary``. Its objects are ``scored_objects``. ``image_id``
    stands for the image in later requests, where its heads are kept.
    """

    labels: ImageLabels
    placement: Placement
    predictions: Predictions
    report: LossReport
    detail: Detail
    image_id: str | None = None

    @cached_property
    def scored_objects(self) -> list[tuple[int, LabelObject]]:
        """Objects that take part in the loss, with their positions in the file."""
        return [(index, label) for index, label in enumerate(self.labels.objects) if not label.crowd]

    @cached_property
    def label_boxes_norm(self) -> Tensor:
        """Corner boxes [N, 4] of the scored objects as fractions of the network input."""
        return self._boxes[[index for index, _ in self.scored_objects]]

    @cached_property
    def crowd_boxes_norm(self) -> Tensor:
        """Corner boxes [K, 4] of crowd regions as fractions of the network input."""
        return self._boxes[[index for index, label in enumerate(self.labels.objects) if label.crowd]]

    @property
    def network_scale(self) -> tuple[float, float]:
        """Network pixels per pixel of the image, across and down."""
        placement = self.placement
        return placement.width / placement.image_width, placement.height / placement.image_height

    @cached_property
    def _boxes(self) -> Tensor:
        return torch.from_numpy(network_boxes(self.labels, self.placement, self.predictions.spec)).float()


def score_heads(
    heads: Sequence[NDArray[np.float32]],
    prepared: PreprocessedImage,
    labels: ImageLabels,
    spec: DetectorSpec,
    query: ScoreQuery,
) -> Scored:
    """Score one image's labels against its raw heads, each [1, ...]; raises PresetError or NonFiniteLossError."""
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(head)) for head in heads)
    truth = to_ground_truth([labels], [prepared.placement], spec)
    detail: Detail = "summary" if query.detail == "summary" else "cells"
    with torch.no_grad(), one_torch_thread():
        report = compute_loss(tensors, truth, spec, query.preset, detail)
        return Scored(labels, prepared.placement, predict(tensors, spec), report, query.detail)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one thread in this thread, and as many as before afterwards.

    The tensors of a loss are small: handing parts of them to other threads takes longer than computing them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
