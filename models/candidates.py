"""From raw heads to the scored boxes that are worth suppressing, all pictures of a batch in one flat list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.decoding import check_heads, class_probabilities, decode_detection, decode_predictors
from models.layout import CLASSES, GAUSSIAN_CLASSES
from models.spec import DetectorSpec
from models.symbolic import state

MAX_ROWS = 2**31


class Candidates(NamedTuple):
    """Boxes above the threshold: corners as fractions of the network input [n, 4]; scores, classes, pictures [n].

    One row per box and class. Rows of one picture are in the order of ``decode_heads``, then by class.
    """

    boxes_xyxy_norm: Tensor
    scores: Tensor
    class_ids: Tensor
    image_index: Tensor

    def select(self, rows: Tensor) -> Candidates:
        """Return the given rows, in the given order."""
        return Candidates(*(column[rows] for column in self))


def find_candidates(heads: Sequence[Tensor], spec: DetectorSpec, score_threshold: Tensor) -> Candidates:
    """Return what scores strictly above the threshold [B] of its picture.

    In anchor-based heads objectness alone must pass too, as in darknet (src/yolo_layer.c, get_yolo_detections); since
    most predictors are background, class probabilities are computed only where it does. A YOLOv1 head has no such test.
    """
    check_heads(heads, spec)
    parts = [
        (_detection if spec.heads[index].kind == "detection" else _anchored)(head.float(), spec, index, score_threshold)
        for index, head in enumerate(heads)
    ]
    if len(parts) == 1:
        return parts[0]
    return Candidates(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def best(candidates: Candidates, count: int) -> Candidates:
    """Return at most ``count`` rows, those of the highest scores, in the order they had."""
    if torch.compiler.is_exporting():
        rank = torch.sort(torch.sort(candidates.scores, descending=True)[1])[1]
    elif len(candidates.scores) <= count:
        return candidates
    else:
        rank = candidates.scores.argsort(descending=True, stable=True).argsort()
    return candidates.select((rank < count).nonzero().squeeze(1))


def _detection(head: Tensor, spec: DetectorSpec, index: int, score_threshold: Tensor) -> Candidates:
    boxes, scores = decode_detection(head, spec.heads[index], spec.num_classes)
    image, row, class_id = _where(scores > score_threshold[:, None, None])
    return Candidates(boxes[image, row], scores[image, row, class_id], class_id, image)


def _anchored(head: Tensor, spec: DetectorSpec, index: int, score_threshold: Tensor) -> Candidates:
    boxes, confidence, _ = decode_predictors(head, spec, index)
    image, anchor, cell = _where(confidence > score_threshold[:, None, None])
    logits = _gather_logits(head, spec, index, (image, anchor, cell))
    probabilities = class_probabilities(logits[None, None], spec.heads[index], spec.class_tree)[0, 0]
    scores = (confidence[image, anchor, cell] * probabilities).T
    row, class_id = _where(scores > score_threshold[image][:, None])
    box = boxes[image, anchor * confidence.shape[2] + cell]
    return Candidates(box[row], scores[row, class_id], class_id, image[row])


def _gather_logits(head: Tensor, spec: DetectorSpec, index: int, where: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the class logits [C, n] of n predictors of a head [B, A*(5+C), h, w]."""
    image, anchor, cell = where
    head_spec, num_classes = spec.heads[index], spec.num_classes
    cells = head_spec.grid_height * head_spec.grid_width
    first = GAUSSIAN_CLASSES if head_spec.kind == "gaussian_yolo" else CLASSES
    predictor = image * head_spec.num_anchors + anchor
    start = (predictor * (first + num_classes) + first) * cells + cell
    classes = torch.arange(num_classes, device=head.device) * cells
    return head.flatten()[classes[:, None] + start]


def _where(mask: Tensor) -> tuple[Tensor, ...]:
    """Return the positions where ``mask`` holds, one index tensor per dimension."""
    positions = mask.nonzero()
    state(positions.shape[0] < MAX_ROWS)
    return positions.unbind(1)
