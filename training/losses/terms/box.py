"""What a badly placed box costs, per pair of predictor and object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models import boxes
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.assignment.matches import HeadMatches, cell_offsets
from yoloscope.training.losses.decode import MAX_LOG_EXTENT, decode_center, decode_extent, extent_rule
from yoloscope.training.losses.presets.base import Preset

SQRT_FLOOR = 1e-12


@dataclass(frozen=True)
class BoxTerms:
    """Costs float [R] by term, their split into ``parts`` (which add up to the terms), and the predicted IoU [R]."""

    terms: dict[str, Tensor]
    parts: dict[str, Tensor]
    iou: Tensor


@dataclass(frozen=True)
class PairedBoxes:
    """Predictions and targets of R pairs: raw entries [R, 4], boxes [R, 4] as fractions, offsets [R, 2] in cells."""

    raw: Tensor
    predicted_offset: Tensor
    predicted_cxcywh: Tensor
    target_offset: Tensor
    target_cxcywh: Tensor
    anchors: Tensor


def pair_boxes(raw: Tensor, matches: HeadMatches, objects_cxcywh: Tensor, preset: Preset) -> PairedBoxes:
    """Decode the raw boxes [R, 4] of matched predictors and place their objects beside them.

    Offsets are relative to the predictor's cell, in cells, so that no precision is lost to the cell's own position.
    """
    geometry = matches.geometry
    scale, rule = geometry.spec.scale_xy, extent_rule(preset.decode_wh, geometry)
    anchors = anchors_of(matches, raw)
    offset = decode_center(raw[:, :2], 0.0, scale, preset.decode_xy)
    extent = decode_extent(raw[:, 2:], anchors, rule)
    cell = torch.stack((matches.columns, matches.rows), dim=-1)
    grid = raw.new_tensor((geometry.grid_width, geometry.grid_height))
    target = objects_cxcywh[matches.objects]
    target_offset = cell_offsets(target, matches.columns, matches.rows, geometry)
    return PairedBoxes(
        raw=raw,
        predicted_offset=offset,
        predicted_cxcywh=torch.cat(((offset + cell) / grid, extent), dim=-1),
        target_offset=target_offset.to(raw),
        target_cxcywh=target.to(raw),
        anchors=anchors,
    )


def anchors_of(matches: HeadMatches, like: Tensor) -> Tensor:
    """Return the anchor extents [R, 2] of matched predictors as fractions; ones where a head has no anchors."""
    if not matches.geometry.anchors_px:
        return like.new_ones(len(matches), 2)
    return like.new_tensor(matches.geometry.anchors_norm)[matches.anchors]


def paired_iou(pairs: PairedBoxes) -> Tensor:
    """Return the predicted IoU [R], a constant for the gradient."""
    predicted = boxes.cxcywh_to_xyxy(pairs.predicted_cxcywh.detach())
    return boxes.paired_iou(predicted, boxes.cxcywh_to_xyxy(pairs.target_cxcywh))


def box_terms(pairs: PairedBoxes, matches: HeadMatches, preset: Preset) -> BoxTerms:
    """Return the box cost of every pair under the preset's ``box_loss``, size weight and gate.

    Coordinate losses answer terms ``xy`` and ``wh``; overlap losses the term ``box``, with parts ``overlap`` (1 - IoU),
    ``enclosure`` (GIoU), ``distance`` (DIoU, CIoU) and ``aspect`` (CIoU).
    """
    factor = _pair_weights(pairs, matches, preset)
    if preset.box_loss in {"iou", "giou", "diou", "ciou"}:
        parts, iou = _overlap_parts(pairs, preset)
        parts = {name: value * factor for name, value in parts.items()}
        return BoxTerms({"box": torch.stack(tuple(parts.values())).sum(0)}, parts, iou)
    xy, wh = _coordinate_terms(pairs, matches.geometry, preset)
    parts = {"centre": xy * factor, "size": wh * factor}
    iou = matches.anchor_iou.to(xy) if preset.match == "cell_best_iou" else paired_iou(pairs)
    return BoxTerms({"xy": parts["centre"], "wh": parts["size"]}, parts, iou)


def _pair_weights(pairs: PairedBoxes, matches: HeadMatches, preset: Preset) -> Tensor:
    weights = torch.ones_like(pairs.raw[:, 0]).detach()
    if preset.box_size_weight:
        weights = 2 - pairs.target_cxcywh[:, 2] * pairs.target_cxcywh[:, 3]
    if preset.box_iou_gate is not None:
        weights = weights * (matches.anchor_iou > preset.box_iou_gate)
    return weights


def _overlap_parts(pairs: PairedBoxes, preset: Preset) -> tuple[dict[str, Tensor], Tensor]:
    predicted = boxes.cxcywh_to_xyxy(pairs.predicted_cxcywh)
    target = boxes.cxcywh_to_xyxy(pairs.target_cxcywh)
    if preset.box_loss in {"iou", "giou"}:
        iou = boxes.paired_iou(predicted, target)
        parts = {"overlap": 1 - iou}
        if preset.box_loss == "giou":
            parts["enclosure"] = iou - boxes.paired_giou(predicted, target)
        return parts, iou.detach()
    measured = boxes.paired_ciou_parts(predicted, target)
    parts = {"overlap": 1 - measured.iou, "distance": measured.distance}
    if preset.box_loss == "ciou":
        gate = (measured.iou > 0.5) if preset.alpha_gate else torch.ones_like(measured.iou, dtype=torch.bool)
        parts["aspect"] = measured.aspect * gate
    return parts, measured.iou.detach()


def _coordinate_terms(pairs: PairedBoxes, geometry: HeadGeometry, preset: Preset) -> tuple[Tensor, Tensor]:
    if preset.box_loss in {"mse", "mse_sqrt"}:
        center = (pairs.predicted_offset - pairs.target_offset).square()
        predicted, target = pairs.predicted_cxcywh[:, 2:], pairs.target_cxcywh[:, 2:]
        if preset.box_loss == "mse_sqrt":
            rule = extent_rule(preset.decode_wh, geometry)
            if rule == "squared":
                predicted = pairs.raw[:, 2:]
            else:
                predicted = signed_sqrt(predicted) if rule == "linear" else predicted.clamp_min(SQRT_FLOOR).sqrt()
            target = target.sqrt()
        return center.sum(-1), (predicted - target).square().sum(-1)
    target_wh = raw_extent_target(pairs, extent_rule(preset.decode_wh, geometry))
    if preset.box_loss == "bce_xy_sse_wh":
        center = functional.binary_cross_entropy_with_logits(pairs.raw[:, :2], pairs.target_offset, reduction="none")
        return center.sum(-1), (pairs.raw[:, 2:] - target_wh).square().sum(-1) / 2
    target_xy = raw_center_target(pairs.target_offset, geometry.spec.scale_xy if preset.decode_xy == "scaled" else 1.0)
    delta_xy, delta_wh = pairs.raw[:, :2] - target_xy, pairs.raw[:, 2:] - target_wh
    if preset.box_loss == "l1_t":
        return delta_xy.abs().sum(-1), delta_wh.abs().sum(-1)
    return delta_xy.square().sum(-1), delta_wh.square().sum(-1)


def raw_center_target(offset: Tensor, scale: float) -> Tensor:
    """Return the logits that decode to ``offset``, held within +-8: a center on the cell's border has none."""
    inside = (offset + (scale - 1) / 2) / scale
    return torch.logit(inside.clamp(0, 1)).clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT)


def raw_extent_target(pairs: PairedBoxes, rule: str) -> Tensor:
    """Return the raw extents that decode to the objects', held within +-8."""
    ratio = pairs.target_cxcywh[:, 2:] / pairs.anchors
    if rule == "exp":
        target = ratio.log()
    elif rule == "double_sigmoid":
        target = torch.logit((ratio.sqrt() / 2).clamp(0, 1))
    elif rule == "sigmoid":
        target = torch.logit(ratio.clamp(0, 1))
    else:
        target = ratio.sqrt() if rule == "squared" else ratio
    return target.clamp(-MAX_LOG_EXTENT, MAX_LOG_EXTENT)


def signed_sqrt(x: Tensor) -> Tensor:
    """Return sign(x) * sqrt(|x|) with a finite gradient everywhere; 0 at 0."""
    return torch.sign(x) * x.abs().clamp_min(SQRT_FLOOR).sqrt()
