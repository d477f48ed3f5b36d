"""The engine of the presets that autograd differentiates: decode, assign, compute, enter into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yoloscope.models.layout import BOX, OBJECTNESS
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.anchors import match_best_anchor, match_best_anchor_of_head, match_by_ratio
from yoloscope.training.assignment.cells import choose_predictor, match_first_per_cell
from yoloscope.training.assignment.collisions import Slots, distinct_slots, find_slots, resolve_collisions
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.assignment.matches import HeadMatches
from yoloscope.training.assignment.max_iou import best_overlap, exceeds_overlap, objects_with_area, padded_boxes_xyxy
from yoloscope.training.losses.costs import HeadLedger
from yoloscope.training.losses.decode import decode_center, decode_extent, decode_planes, extent_rule
from yoloscope.training.losses.heads import (
    bound_gradient,
    box_planes,
    cell_boxes,
    class_rows,
    compute_dtype,
    objectness_and_rows,
)
from yoloscope.training.losses.presets.base import Preset
from yoloscope.training.losses.terms.box import BoxTerms, box_terms, pair_boxes, paired_iou
from yoloscope.training.losses.terms.objectness_and_class import (
    background_terms,
    class_terms,
    objectness_terms,
    prior_terms,
)


@dataclass(frozen=True)
class _Background:
    """What the predictors of a head without an object are told: ``ignored`` bool and ``target`` (MaxIoU or none)."""

    ignored: Tensor
    target: Tensor | None


def formula_ledgers(
    heads: Sequence[Tensor],
    geometries: Sequence[HeadGeometry],
    ground_truth: GroundTruth,
    spec: DetectorSpec,
    preset: Preset,
    images_seen: int | None,
) -> tuple[HeadLedger, ...]:
    """Return the ledgers of all heads under a formula preset."""
    matches = _match(heads, geometries, ground_truth, spec, preset)
    padded = None
    if preset.ignore_threshold is not None:
        padded = padded_boxes_xyxy(ground_truth, compute_dtype(heads[0]))
    pulls = images_seen is not None and images_seen < preset.prior_images
    return tuple(
        _head_ledger(head, wanted, ground_truth, padded, preset, pulls=pulls)
        for head, wanted in zip(heads, matches, strict=True)
    )


def _match(
    heads: Sequence[Tensor],
    geometries: Sequence[HeadGeometry],
    ground_truth: GroundTruth,
    spec: DetectorSpec,
    preset: Preset,
) -> tuple[HeadMatches, ...]:
    if preset.match == "cell_best_iou":
        return tuple(_match_cells(h, g, ground_truth, preset) for h, g in zip(heads, geometries, strict=True))
    if preset.match == "best_anchor_of_head":
        return match_best_anchor_of_head(ground_truth, geometries)
    if preset.match == "ratio":
        return match_by_ratio(ground_truth, geometries, preset.match_threshold)
    anchors = ground_truth.boxes_cxcywh_norm.new_tensor(spec.anchors_px)
    threshold = preset.match_threshold if preset.match == "anchors_above" else None
    return match_best_anchor(ground_truth, geometries, anchors, threshold)


@torch.no_grad()
def _match_cells(head: Tensor, geometry: HeadGeometry, ground_truth: GroundTruth, preset: Preset) -> HeadMatches:
    matches = match_first_per_cell(ground_truth, geometry)
    raw = cell_boxes(head, geometry, (matches.images, matches.rows, matches.columns))
    cell = torch.stack((matches.columns, matches.rows), dim=-1)[:, None]
    grid = raw.new_tensor((geometry.grid_width, geometry.grid_height))
    center = decode_center(raw[..., :2], cell, geometry.spec.scale_xy, preset.decode_xy) / grid
    extent = decode_extent(raw[..., 2:], 1.0, extent_rule(preset.decode_wh, geometry))
    own = ground_truth.boxes_cxcywh_norm[matches.objects]
    return choose_predictor(matches, torch.cat((center, extent), dim=-1), own)


def _head_ledger(
    head: Tensor,
    wanted: HeadMatches,
    ground_truth: GroundTruth,
    padded: Tensor | None,
    preset: Preset,
    *,
    pulls: bool,
) -> HeadLedger:
    slots = _slots(head, wanted, ground_truth, preset)
    matches = slots.matches
    objectness, rows = objectness_and_rows(head, matches.geometry, slots.index)
    raw = bound_gradient(rows[:, BOX], preset.max_delta)
    raw = raw if slots.distinct else raw[slots.of_match]
    measured = box_terms(pair_boxes(raw, matches, ground_truth.boxes_cxcywh_norm, preset), matches, preset)
    background = _background(head, matches.geometry, objectness, padded, preset)
    by_predictor = {"no_objectness": _no_objectness(objectness, slots, background, preset)}
    if pulls:
        by_predictor["prior"] = prior_terms(head, matches, preset)
    spread = 1.0 / slots.counts[slots.of_match] if preset.collision == "mean" else None
    return HeadLedger(
        geometry=matches.geometry,
        slots=slots,
        by_match=_spread(measured.terms, spread),
        by_slot=_slot_terms(rows, slots, measured, ground_truth, preset),
        by_predictor=by_predictor,
        parts=_spread(measured.parts, spread),
        iou=measured.iou,
        ignored=background.ignored,
        wanted=objects_with_area(ground_truth) if preset.match == "cell_best_iou" else wanted.objects,
    )


def _spread(costs: dict[str, Tensor], factor: Tensor | None) -> dict[str, Tensor]:
    return costs if factor is None else {name: value * factor.to(value) for name, value in costs.items()}


@torch.no_grad()
def _slots(head: Tensor, wanted: HeadMatches, ground_truth: GroundTruth, preset: Preset) -> Slots:
    """Return the predictors that serve objects after collisions; the cells of YOLOv1 have settled theirs before."""
    if preset.match == "cell_best_iou":
        return distinct_slots(wanted)
    slots = find_slots(wanted)
    if len(slots) == len(wanted) or preset.collision in {"accumulate", "mean"}:
        return slots
    if preset.collision != "best_iou":
        return find_slots(resolve_collisions(wanted, preset.collision))
    _, rows = objectness_and_rows(head, wanted.geometry, slots.index)
    pairs = pair_boxes(rows[slots.of_match, BOX], wanted, ground_truth.boxes_cxcywh_norm, preset)
    return find_slots(resolve_collisions(wanted, "best_iou", paired_iou(pairs)))


@torch.no_grad()
def _background(
    head: Tensor, geometry: HeadGeometry, objectness: Tensor, padded: Tensor | None, preset: Preset
) -> _Background:
    threshold = preset.ignore_threshold
    if threshold is None or padded is None or not padded.shape[1]:
        return _Background(torch.zeros_like(objectness, dtype=torch.bool), None)
    predicted = decode_planes(
        box_planes(head, geometry), geometry, preset.decode_xy, extent_rule(preset.decode_wh, geometry)
    )
    if preset.objectness_target == "smooth":
        best, _ = best_overlap(predicted, padded)
        return _Background(best > threshold, best)
    ignored = exceeds_overlap(predicted, padded, threshold)
    if preset.ignore_class_gate is not None:
        ignored = _gate_by_class(head, geometry, ignored, preset, preset.ignore_class_gate)
    return _Background(ignored, None)


def _gate_by_class(head: Tensor, geometry: HeadGeometry, ignored: Tensor, preset: Preset, gate: float) -> Tensor:
    candidates = ignored.flatten().nonzero()[:, 0]
    raw = class_rows(head, geometry, candidates)
    if preset.class_activation == "linear":
        probabilities = raw
    else:
        probabilities = raw.softmax(-1) if preset.class_activation == "softmax" else raw.sigmoid()
    passes = probabilities.amax(-1) > gate
    gated = torch.zeros_like(ignored)
    gated.view(-1)[candidates[passes]] = True
    return gated


def _no_objectness(objectness: Tensor, slots: Slots, background: _Background, preset: Preset) -> Tensor:
    spared = background.ignored.clone() if background.target is None else torch.zeros_like(background.ignored)
    spared.view(-1)[slots.predictors] = True
    if background.target is None:
        return background_terms(objectness, preset).masked_fill(spared, 0)
    target = torch.where(background.ignored, background.target, 0)
    return objectness_terms(objectness, target, preset).masked_fill(spared, 0)


def _slot_terms(
    rows: Tensor, slots: Slots, measured: BoxTerms, ground_truth: GroundTruth, preset: Preset
) -> dict[str, Tensor]:
    classes = rows[:, OBJECTNESS + 1 :]
    targets = torch.zeros_like(classes)
    targets[slots.of_match, ground_truth.class_ids[slots.matches.objects]] = 1
    return {
        "objectness": objectness_terms(rows[:, OBJECTNESS], _objectness_target(slots, measured, preset), preset),
        "classification": class_terms(classes, targets, preset),
    }


def _objectness_target(slots: Slots, measured: BoxTerms, preset: Preset) -> Tensor:
    """Return the target [P]; where several objects share a predictor, the best of their overlaps counts."""
    ones = measured.iou.new_ones(len(slots))
    if preset.objectness_target in {"one", "smooth"}:
        return ones
    best = torch.zeros_like(ones).scatter_reduce_(0, slots.of_match, measured.iou, "amax")
    if preset.objectness_target == "blend":
        return 1 - preset.objectness_blend + preset.objectness_blend * best
    return best
