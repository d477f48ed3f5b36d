"""Adapter that lets a torch network be evaluated as an artifact is, for validation during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yoloscope.models.detector import Detector
from yoloscope.models.network import eval_mode
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import Detections


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
