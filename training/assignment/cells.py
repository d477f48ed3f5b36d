"""Matching of objects to the predictors of their grid cell by predicted IoU: YOLOv1."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from yoloscope.models import boxes
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.grid import HeadGeometry, HeadMatches, cells_of


def match_first_per_cell(ground_truth: GroundTruth, geometry: HeadGeometry) -> HeadMatches:
    """Match every object with area to its cell, the first of each cell only; ``anchors`` are still 0.

    A YOLOv1 cell predicts one set of classes, so it can hold one object. Source: darknet src/data.c,
    fill_truth_region, where the first object put into a cell stays.
    """
    columns, rows = cells_of(ground_truth.boxes_cxcywh_norm, geometry)
    cells = (ground_truth.image_index * geometry.grid_height + rows) * geometry.grid_width + columns
    has_area = ground_truth.has_area
    order = torch.arange(len(cells), device=cells.device)
    first = torch.full((geometry.batch_size * geometry.grid_height * geometry.grid_width,), len(cells))
    first = first.to(cells.device).scatter_reduce_(0, cells, torch.where(has_area, order, len(cells)), "amin")
    objects = (has_area & (first[cells] == order)).nonzero()[:, 0]
    return HeadMatches(
        geometry=geometry,
        objects=objects,
        images=ground_truth.image_index[objects],
        anchors=torch.zeros_like(objects),
        rows=rows[objects],
        columns=columns[objects],
        extra=torch.zeros_like(objects, dtype=torch.bool),
        anchor_iou=ground_truth.boxes_cxcywh_norm.new_zeros(len(objects)),
    )


@torch.no_grad()
def choose_predictor(matches: HeadMatches, candidates_cxcywh: Tensor, objects_cxcywh: Tensor) -> HeadMatches:
    """Return the matches with the predictor of each cell whose box overlaps the object most, the first where several.

    ``candidates_cxcywh`` [R, n, 4] are the cell's predicted boxes, ``objects_cxcywh`` [R, 4], one frame.
    Source: YOLOv1 section 2.2 (the highest current IoU).
    """
    overlap = boxes.paired_iou(
        boxes.cxcywh_to_xyxy(candidates_cxcywh), boxes.cxcywh_to_xyxy(objects_cxcywh)[:, None].to(candidates_cxcywh)
    )
    best = overlap.max(dim=1)
    return replace(matches, anchors=best.indices, anchor_iou=best.values)
