"""The engine of the presets that documents 001 and 003 define on a YOLOv1 grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models.errors import PresetError
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.cells import match_first_per_cell
from yoloscope.training.assignment.collisions import find_slots
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.assignment.matches import HeadMatches, cell_offsets
from yoloscope.training.assignment.max_iou import objects_with_area
from yoloscope.training.losses.costs import HeadLedger
from yoloscope.training.losses.heads import compute_dtype
from yoloscope.training.losses.presets.article import ArticleCells, ArticlePreset, article_terms
from yoloscope.training.losses.presets.walkthrough import WalkthroughCells, WalkthroughPreset, walkthrough_terms


@dataclass(frozen=True)
class _Grid:
    """Raw predictions and targets of a flat YOLOv1 head; boxes in cells: offset in the cell, then width, height."""

    boxes: Tensor
    confidences: Tensor
    classes: Tensor
    target_boxes: Tensor
    target_classes: Tensor
    has_object: Tensor
    matches: HeadMatches


def walkthrough_ledgers(
    heads: Sequence[Tensor], geometries: Sequence[HeadGeometry], truth: GroundTruth
) -> tuple[HeadLedger, ...]:
    """Return the ledgers of the preset ``v1-walkthrough``."""
    return tuple(_walkthrough_ledger(_grid(h, g, truth), truth) for h, g in zip(heads, geometries, strict=True))


def article_ledgers(
    heads: Sequence[Tensor], geometries: Sequence[HeadGeometry], truth: GroundTruth, preset: ArticlePreset
) -> tuple[HeadLedger, ...]:
    """Return the ledgers of an article preset; raise PresetError unless every cell has one predictor."""
    for geometry in geometries:
        if geometry.num_anchors != 1:
            raise PresetError(f"preset {preset.name!r} needs one predictor per cell, got {geometry.num_anchors}")
    return tuple(_article_ledger(_grid(h, g, truth), truth, preset) for h, g in zip(heads, geometries, strict=True))


def grid_weights(preset: WalkthroughPreset | ArticlePreset) -> dict[str, float]:
    """Return the lambdas of a grid preset by term."""
    if isinstance(preset, WalkthroughPreset):
        return {"xy": preset.lambda_coord, "wh": preset.lambda_coord, "no_objectness": preset.lambda_noobj}
    if preset.variant == "mse":
        return {}
    return {
        "box": preset.lambda_coord,
        "objectness": preset.lambda_obj,
        "no_objectness": preset.lambda_noobj,
        "classification": preset.lambda_class,
    }


def _grid(head: Tensor, geometry: HeadGeometry, truth: GroundTruth) -> _Grid:
    layout = geometry.spec.detection_layout(geometry.num_classes)
    batch, n, height, width = geometry.shape
    head = head.to(compute_dtype(head))
    matches = match_first_per_cell(truth, geometry)
    at = matches.images, matches.rows, matches.columns
    own = truth.boxes_cxcywh_norm[matches.objects]
    offsets = cell_offsets(own, matches.columns, matches.rows, geometry)
    boxes = torch.cat((offsets, own[:, 2:] * own.new_tensor((width, height))), dim=-1).to(head)
    classes = functional.one_hot(truth.class_ids[matches.objects], geometry.num_classes).to(head)
    shape = (batch, height, width)
    return _Grid(
        boxes=head[:, layout.boxes].view(*shape, n, 4),
        confidences=head[:, layout.confidences].view(*shape, n),
        classes=head[:, layout.classes].view(*shape, geometry.num_classes),
        target_boxes=head.new_zeros(*shape, 4).index_put(at, boxes),
        target_classes=head.new_zeros(*shape, geometry.num_classes).index_put(at, classes),
        has_object=head.new_zeros(shape).index_put(at, head.new_ones(len(matches))),
        matches=matches,
    )


def _walkthrough_ledger(grid: _Grid, truth: GroundTruth) -> HeadLedger:
    terms = walkthrough_terms(
        WalkthroughCells(
            grid.boxes, grid.confidences, grid.classes, grid.target_boxes, grid.target_classes, grid.has_object
        )
    )
    matches = grid.matches
    at = matches.images, matches.rows, matches.columns
    matches = replace(matches, anchors=terms.best[at])
    slots = find_slots(matches)
    slot_at = tuple(index[slots.first] for index in at)
    by_match = {"xy": terms.xy[at], "wh": terms.wh[at]}
    return HeadLedger(
        geometry=matches.geometry,
        slots=slots,
        by_match=by_match,
        by_slot={"objectness": terms.objectness[slot_at], "classification": terms.classification[slot_at]},
        by_predictor={"no_objectness": terms.no_objectness.permute(0, 3, 1, 2)},
        parts={"centre": by_match["xy"], "size": by_match["wh"]},
        iou=terms.iou[at],
        ignored=torch.zeros(matches.geometry.shape, dtype=torch.bool, device=terms.iou.device),
        wanted=objects_with_area(truth),
    )


def _article_ledger(grid: _Grid, truth: GroundTruth, preset: ArticlePreset) -> HeadLedger:
    predicted = torch.cat((grid.boxes[..., 0, :], grid.confidences, grid.classes), dim=-1)
    target = torch.cat((grid.target_boxes, grid.has_object[..., None], grid.target_classes), dim=-1)
    terms = article_terms(ArticleCells(predicted, target), preset)
    everywhere = {
        "box": terms.box,
        "objectness": terms.objectness,
        "no_objectness": terms.no_objectness,
        "classification": terms.classification,
    }
    at = grid.matches.images, grid.matches.rows, grid.matches.columns
    positive = terms.positive[at]
    matches = grid.matches.select(positive)
    slots = find_slots(matches)
    served = torch.zeros_like(terms.positive)
    served[matches.images, matches.rows, matches.columns] = True
    taken = torch.ones(len(truth), dtype=torch.bool, device=served.device)
    taken[grid.matches.objects[~positive]] = False
    slot_at = matches.images[slots.first], matches.rows[slots.first], matches.columns[slots.first]
    return HeadLedger(
        geometry=matches.geometry,
        slots=slots,
        by_match={},
        by_slot={name: costs[slot_at] for name, costs in everywhere.items() if name != "no_objectness"},
        by_predictor={name: costs.masked_fill(served, 0)[:, None] for name, costs in everywhere.items()},
        parts={},
        iou=terms.box.new_zeros(len(matches)),
        ignored=torch.zeros(matches.geometry.shape, dtype=torch.bool, device=served.device),
        wanted=(taken & (truth.boxes_cxcywh_norm[:, 2:] > 0).all(-1)).nonzero()[:, 0],
    )
