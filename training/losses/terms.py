"""Loss terms as plain functions of tensors: boxes, objectness, classes, and the prior of YOLOv2.

Box losses register here by name: IoU losses in ``iou_losses.py``, squared errors in ``presets/v1.py`` to ``v3.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, overload

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models import boxes
from yoloscope.models.errors import LossError
from yoloscope.training.assignment.grid import HeadMatches, cell_offsets
from yoloscope.training.losses.decode import (
    MAX_LOG_EXTENT,
    CenterDecode,
    ExtentDecode,
    decode_center,
    decode_extent,
    extent_rule,
    matched_anchors,
)

ObjectnessLoss = Literal["bce", "mse", "focal"]
ClassLoss = Literal["bce", "mse", "ce", "focal"]
ClassActivation = Literal["sigmoid", "softmax", "linear"]


@dataclass(frozen=True)
class BoxPairs:
    """Predictions and targets of R pairs: all that a box loss may look at.

    ``logits`` [R, 4] are the head's x, y, w, h before decoding, ``*_offset`` [R, 2] centers in the predictor's cell, in
    cells, ``*_cxcywh`` [R, 4] boxes as fractions of the network input, ``anchors`` [R, 2] extents likewise.
    ``scale_xy`` and ``extent`` are the rules by which the logits were decoded.
    """

    logits: Tensor
    predicted_offset: Tensor
    predicted_cxcywh: Tensor
    target_offset: Tensor
    target_cxcywh: Tensor
    anchors: Tensor
    scale_xy: float = 1.0
    extent: ExtentDecode = "exp"


BoxFunction = Callable[..., dict[str, Tensor]]
"""Costs [R] of ``BoxPairs`` by part: ``centre`` and ``size``, or ``overlap`` (1 - IoU) and what is added to it."""
_CENTER_AND_SIZE: Final = {"centre", "size"}


@dataclass(frozen=True)
class BoxLoss:
    """A registered box loss.

    ``compares``: loss of decoded boxes, or of the logits that decode to them, which a linear center has not.
    ``options`` are the keys of a preset that its function takes as keywords.
    """

    function: BoxFunction
    compares: Literal["boxes", "logits"] = "boxes"
    options: tuple[str, ...] = ()

    def __call__(self, pairs: BoxPairs, **options: object) -> dict[str, Tensor]:
        """Return the costs [R] by part; raise LossError where the function's are not as ``BoxFunction`` says."""
        parts = self.function(pairs, **{name: value for name, value in options.items() if name in self.options})
        shapes = {name: tuple(costs.shape) for name, costs in parts.items()}
        named = set(parts) == _CENTER_AND_SIZE or "overlap" in parts
        count = len(pairs.logits)
        if not named or set(shapes.values()) != {(count,)}:
            raise LossError(
                f"box loss {self.function.__name__!r}: expected costs [{count}] named 'centre' and 'size', or overlap "
                f"and what is added to it, got {shapes}"
            )
        return parts


BOX_LOSSES: dict[str, BoxLoss] = {}
"""Every box loss by the name that ``box_loss`` of a preset gives it."""


@overload
def box_loss(function: BoxFunction, /) -> BoxFunction: ...


@overload
def box_loss(
    *, compares: Literal["boxes", "logits"] = "boxes", options: tuple[str, ...] = ()
) -> Callable[[BoxFunction], BoxFunction]: ...


def box_loss(
    function: BoxFunction | None = None,
    /,
    *,
    compares: Literal["boxes", "logits"] = "boxes",
    options: tuple[str, ...] = (),
) -> BoxFunction | Callable[[BoxFunction], BoxFunction]:
    """Register a box loss under its function's name, as a decorator; see ``BoxLoss`` for the keywords."""

    def register(function: BoxFunction) -> BoxFunction:
        BOX_LOSSES[function.__name__] = BoxLoss(function, compares, options)
        return function

    return register if function is None else register(function)


def pair_boxes(
    logits: Tensor, matches: HeadMatches, objects_cxcywh: Tensor, center: CenterDecode, extent: ExtentDecode
) -> BoxPairs:
    """Decode the raw boxes [R, 4] of matched predictors and place their objects beside them.

    Offsets are relative to the predictor's cell, in cells, so that no precision is lost to the cell's own position.
    """
    geometry = matches.geometry
    rule = extent_rule(extent, geometry)
    anchors = matched_anchors(matches, logits)
    offset = decode_center(logits[:, :2], 0.0, geometry.spec.scale_xy, center)
    wh = decode_extent(logits[:, 2:], anchors, rule)
    cell = torch.stack((matches.columns, matches.rows), dim=-1)
    grid = logits.new_tensor((geometry.grid_width, geometry.grid_height))
    target = objects_cxcywh[matches.objects]
    return BoxPairs(
        logits=logits,
        predicted_offset=offset,
        predicted_cxcywh=torch.cat(((offset + cell) / grid, wh), dim=-1),
        target_offset=cell_offsets(target, matches.columns, matches.rows, geometry).to(logits),
        target_cxcywh=target.to(logits),
        anchors=anchors,
        scale_xy=geometry.spec.scale_xy if center == "scaled" else 1.0,
        extent=rule,
    )


def predicted_iou(pairs: BoxPairs) -> Tensor:
    """Return the predicted IoU [R], a constant for the gradient."""
    predicted = boxes.cxcywh_to_xyxy(pairs.predicted_cxcywh.detach())
    return boxes.paired_iou(predicted, boxes.cxcywh_to_xyxy(pairs.target_cxcywh))


def center_logits(offset: Tensor, scale_xy: float) -> Tensor:
    """Return the logits that decode to ``offset``, held within +-8: a center on the cell's border has none."""
    inside = (offset + (scale_xy - 1) / 2) / scale_xy
    return torch.logit(inside.clamp(0, 1)).clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT)


def extent_logits(wh: Tensor, anchors: Tensor, extent: ExtentDecode) -> Tensor:
    """Return the raw extents [R, 2] that decode to ``wh`` [R, 2], held within +-8."""
    ratio = wh / anchors
    if extent == "exp":
        target = ratio.log()
    elif extent == "double_sigmoid":
        target = torch.logit((ratio.sqrt() / 2).clamp(0, 1))
    elif extent == "sigmoid":
        target = torch.logit(ratio.clamp(0, 1))
    else:
        target = ratio.sqrt() if extent == "squared" else ratio
    return target.clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT)


def objectness_cost(
    logits: Tensor,
    target: Tensor,
    loss: ObjectnessLoss = "bce",
    *,
    activated: bool = False,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """Return the cost, of the shape of ``logits``, of objectness entries against a target in 0..1.

    ``activated``: the entries of ``mse`` are confidences already, no logits.
    """
    if loss == "mse":
        return ((logits if activated else torch.sigmoid(logits)) - target).square()
    if loss == "focal":
        return focal_bce(logits, target, gamma, alpha)
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def class_cost(
    logits: Tensor,
    targets: Tensor,
    loss: ClassLoss = "bce",
    *,
    activation: ClassActivation = "sigmoid",
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """Return the cost [P], summed over classes, of class entries [P, C] against one- or multi-hot ``targets``."""
    if loss == "ce":
        smooth = targets / targets.sum(-1, keepdim=True).clamp_min(1)
        smooth = smooth * (1 - label_smoothing) + label_smoothing / targets.shape[-1]
        costs = -smooth * functional.log_softmax(logits, dim=-1)
    else:
        smooth = targets * (1 - label_smoothing) + 0.5 * label_smoothing
        if loss == "bce":
            costs = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        elif loss == "focal":
            costs = focal_bce(logits, smooth, gamma, alpha)
        else:
            costs = (class_probabilities(logits, activation) - smooth).square()
    if class_weights is not None:
        costs = costs * logits.new_tensor(class_weights)
    return costs.sum(-1)


def class_probabilities(logits: Tensor, activation: ClassActivation) -> Tensor:
    """Return class probabilities of entries [..., C]; ``linear`` takes the entries as probabilities."""
    if activation == "softmax":
        return functional.softmax(logits, dim=-1)
    return torch.sigmoid(logits) if activation == "sigmoid" else logits


def focal_bce(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return binary cross-entropy on logits, scaled by alpha and (1 - p_t)^gamma (Lin et al., Focal Loss, 2017)."""
    cost = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = torch.sigmoid(logits)
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return cost * alpha_t * (1 - p_t).clamp_min(1e-12).pow(gamma)


def prior_cost(box_entries: Tensor, scale_xy: float, assigned: Tensor) -> Tensor:
    """Return the early pull of YOLOv2 [B, A, h, w]: to the cell's center and the anchor's size; 0 where ``assigned``.

    ``box_entries`` [B, A, 4, h, w] are raw. Half the squared error of the cell offset from 1/2 and of the raw extents
    from 0, so that under ``exp`` decoding the gradient is darknet's (src/region_layer.c, delta_region_box with the
    anchor as truth).
    """
    offset = torch.sigmoid(box_entries[:, :, :2]) * scale_xy - (scale_xy - 1) / 2
    costs = ((offset - 0.5).square().sum(2) + box_entries[:, :, 2:].square().sum(2)) / 2
    return costs.masked_fill(assigned, 0)
