"""Adapters that let a torch network be evaluated and audited as an artifact is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yoloscope.models.detections import Detections
from yoloscope.models.detector import Detector, scale_pixels
from yoloscope.models.network import eval_mode
from yoloscope.models.spec import DetectorSpec


class TorchDetector:
    """Runs a network with decoding and suppression, in evaluation mode; the network's mode is left as it was.

    ``heads`` are the raw heads of the last batch.
    """

    def __init__(self, network: nn.Module, spec: DetectorSpec, device: torch.device | str = "cpu") -> None:
        self._module = Detector(network, spec)
        self._device = torch.device(device)
        self.heads: tuple[Tensor, ...] = ()

    @property
    def spec(self) -> DetectorSpec:
        """The detector's description."""
        return self._module.spec

    def detect(
        self, images: NDArray[np.float32], score_threshold: Sequence[float], iou_threshold: Sequence[float]
    ) -> list[Detections]:
        """Return the detections of placed images [B, H, W, 3] in 0..255, thresholds per image; network pixels."""
        with eval_mode(self._module), torch.inference_mode():
            outputs = self._module(
                torch.from_numpy(images).to(self._device),
                torch.tensor(score_threshold, dtype=torch.float32, device=self._device),
                torch.tensor(iou_threshold, dtype=torch.float32, device=self._device),
            )
        self.heads = outputs[4:]
        counts, boxes, scores, class_ids = (output.cpu().numpy() for output in outputs[:4])
        return [
            Detections(boxes[row, :count], scores[row, :count], class_ids[row, :count])
            for row, count in enumerate(counts.tolist())
        ]


class TorchHeads:
    """Raw heads of a network, in evaluation mode; the network's mode is left as it was."""

    def __init__(self, network: nn.Module, spec: DetectorSpec, device: torch.device | str = "cpu") -> None:
        self._network = network
        self._device = torch.device(device)
        self.spec = spec

    def heads(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the raw heads of placed images [B, H, W, P] in levels 0..255."""
        with eval_mode(self._network), torch.inference_mode():
            levels = torch.from_numpy(images).to(self._device)
            heads = self._network(scale_pixels(levels, channels=self.spec.input_channels))
        return tuple(head.float().cpu().numpy() for head in heads)
