"""IoU box losses: IoU, GIoU, DIoU and CIoU.

To add a box loss, write a function like these in a file of its own, and import that file in ``presets/__init__.py``.

Sources: Rezatofighi et al., Generalized Intersection over Union, 2019 (https://arxiv.org/abs/1902.09630); Zheng et al.,
Distance-IoU Loss, 2020 (https://arxiv.org/abs/1911.08287).
"""

from __future__ import annotations

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.training.losses.terms import BoxPairs, box_loss


@box_loss
def iou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - IoU as ``overlap``."""
    return {"overlap": 1 - boxes.paired_iou(*_corners(pairs))}


@box_loss
def giou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - GIoU as ``overlap`` and ``enclosure``."""
    predicted, target = _corners(pairs)
    overlap = boxes.paired_iou(predicted, target)
    return {"overlap": 1 - overlap, "enclosure": overlap - boxes.paired_giou(predicted, target)}


@box_loss
def diou(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return 1 - DIoU as ``overlap`` and ``distance``."""
    measured = boxes.paired_ciou_parts(*_corners(pairs))
    return {"overlap": 1 - measured.iou, "distance": measured.distance}


@box_loss(options=("alpha_gate",))
def ciou(pairs: BoxPairs, *, alpha_gate: bool = False) -> dict[str, Tensor]:
    """Return 1 - CIoU as ``overlap``, ``distance`` and ``aspect``; ``alpha_gate``: alpha is 0 up to an IoU of 0.5."""
    measured = boxes.paired_ciou_parts(*_corners(pairs))
    gate = (measured.iou > 0.5) if alpha_gate else torch.ones_like(measured.iou, dtype=torch.bool)
    return {"overlap": 1 - measured.iou, "distance": measured.distance, "aspect": measured.aspect * gate}


def _corners(pairs: BoxPairs) -> tuple[Tensor, Tensor]:
    return boxes.cxcywh_to_xyxy(pairs.predicted_cxcywh), boxes.cxcywh_to_xyxy(pairs.target_cxcywh)
