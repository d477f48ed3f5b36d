"""Change of a loss by edits of single objects, computed from the few predictors that each edit touches.

Who is assigned changes in the cells of the edited object alone, before and after the edit, and who is ignored where a
prediction overlaps it. Everything else costs what it did, so it cancels out of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import (
    AssignedObjects,
    DecodedHead,
    Positives,
    assign_objects,
    match_statuses,
)
from yoloscope.training.assignment.grid import HeadGeometry, cells_of, head_geometries
from yoloscope.training.assignment.ignore import PredictorsByCell
from yoloscope.training.losses.compute import checked_ground_truth
from yoloscope.training.losses.costs import TERMS
from yoloscope.training.losses.decode import center_reach, entries_at, extent_rule, objectness_plane
from yoloscope.training.losses.preset import LossPreset
from yoloscope.training.losses.presets.formula import FormulaPreset


@dataclass(frozen=True)
class ObjectEdits:
    """E edits of single objects, each to be made alone.

    ``image`` int64 [E] is the image of each. ``scenes`` are 2E images of objects: first, for each edit, those that
    share a cell of any head with the object before or after it, as they are; then the same ones after the edit, in
    their order. ``edited`` bool [n] are the objects of scenes whose box the edit takes away or brings.
    """

    image: Tensor
    scenes: GroundTruth
    edited: Tensor

    def __len__(self) -> int:
        return len(self.image)


class EditableLoss:
    """A formula loss of some images, from which the change by edits of their objects is computed."""

    def __init__(self, preset: FormulaPreset, heads: Sequence[Tensor], truth: GroundTruth, spec: DetectorSpec) -> None:
        geometries = head_geometries(heads, spec)
        truth = checked_ground_truth(truth, geometries)
        decoded = preset.decode(heads, geometries, any_objects=True)
        assigned = assign_objects(decoded, truth, spec.anchors_px, preset.assignment_rules)
        self._preset, self._spec = preset, spec
        self._heads = [
            _Head.of(preset, head, own, objects, truth)
            for head, own, objects in zip(heads, decoded, assigned, strict=True)
        ]
        self._weights = torch.tensor(preset.term_weights(len(heads)), dtype=torch.float64)
        self.statuses: Tensor = match_statuses(assigned, len(truth))
        """``MatchStatus`` of every object, uint8 [N]."""

    @classmethod
    def of(cls, preset: LossPreset, heads: Sequence[Tensor], truth: GroundTruth, spec: DetectorSpec) -> Self | None:
        """Return the loss of some images, or None where an edit may change what predictors far from it cost.

        That is so for other than formula presets, for objectness that aims at MaxIoU, for predictions that can lie
        anywhere or have no extent while some are ignored, and for heads that are not finite, whose loss is an error.
        """
        if not isinstance(preset, FormulaPreset) or preset.objectness_target == "smooth":
            return None
        if preset.ignore_threshold is not None:
            extents = [extent_rule(preset.decode_wh, geometry) for geometry in head_geometries(heads, spec)]
            if preset.decode_xy == "linear" or "linear" in extents:
                return None
        if not all(bool(torch.isfinite(head).all()) for head in heads):
            return None
        return cls(preset, heads, truth, spec)

    def cells(self, boxes_cxcywh: Tensor) -> Tensor:
        """Return the cell of each box in each head, int64 [N, H]."""
        places = [(cells_of(boxes_cxcywh, head.geometry), head.geometry.grid_width) for head in self._heads]
        return torch.stack([row * width + column for (column, row), width in places], dim=1)

    @torch.no_grad()
    def changes(self, edits: ObjectEdits) -> dict[str, Tensor]:
        """Return by term what each edit adds to the loss, float64 [E], summed over its image."""
        checked_ground_truth(edits.scenes, [replace(self._heads[0].geometry, batch_size=2 * len(edits))])
        scenes = [head.scenes(edits) for head in self._heads]
        assigned = assign_objects(scenes, edits.scenes, self._spec.anchors_px, self._preset.assignment_rules)
        raw = [head.changes(self._preset, edits, own) for head, own in zip(self._heads, assigned, strict=True)]
        return {
            name: sum(
                (self._weights[index, TERMS.index(name)] * own[name] for index, own in enumerate(raw)),
                torch.zeros(len(edits), dtype=torch.float64),
            )
            for name in TERMS
            if name in raw[0]
        }


@dataclass(frozen=True)
class _Head:
    """One head: what each of its predictors [B * A * h * w] costs without an object, and what the objects make of it.

    ``background`` float64, ``positive`` int64 is 1 where a predictor has an object, ``covers`` int64 counts the objects
    for which the ignore rule spares it; ``by_cell`` is None where there is no such rule.
    """

    head: Tensor
    decoded: DecodedHead
    background: Tensor
    positive: Tensor
    covers: Tensor
    by_cell: PredictorsByCell | None
    class_gate: float | None

    @classmethod
    def of(
        cls, preset: FormulaPreset, head: Tensor, decoded: DecodedHead, assigned: AssignedObjects, truth: GroundTruth
    ) -> _Head:
        geometry = decoded.geometry
        background = preset.background_costs(objectness_plane(head, geometry)).flatten().double()
        positive = torch.zeros(len(background), dtype=torch.int64)
        positive[assigned.positives.predictors] = 1
        by_cell = None
        if preset.ignore_threshold is not None and decoded.boxes_cxcywh is not None:
            reach = center_reach(geometry.spec.scale_xy, preset.decode_xy)
            by_cell = PredictorsByCell(decoded.boxes_cxcywh, preset.ignore_threshold, reach)
        covers = torch.zeros_like(positive)
        bare = cls(head, decoded, background, positive, covers, by_cell, preset.ignore_class_gate)
        _, covered = bare.covered(truth.boxes_cxcywh_norm, truth.image_index)
        return replace(bare, covers=torch.bincount(covered, minlength=len(covers)))

    @property
    def geometry(self) -> HeadGeometry:
        """The grid of the head."""
        return self.decoded.geometry

    def covered(self, boxes_cxcywh: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return which object spares which predictor by the ignore rule, int64 [Q] each."""
        if self.by_cell is None:
            return images[:0], images[:0]
        objects, predictors = self.by_cell.above_threshold(boxes_cxcywh, images)
        if self.class_gate is None:
            return objects, predictors
        kept = self.decoded.best_probability(predictors) > self.class_gate
        return objects[kept], predictors[kept]

    def scenes(self, edits: ObjectEdits) -> DecodedHead:
        """Return the predictions as those of the images of all scenes."""
        geometry = replace(self.geometry, batch_size=2 * len(edits))
        return replace(self.decoded, geometry=geometry, source=edits.image.repeat(2))

    def changes(self, preset: FormulaPreset, edits: ObjectEdits, assigned: AssignedObjects) -> dict[str, Tensor]:
        """Return by term what each edit adds to the raw costs, float64 [E]."""
        count, positives = len(edits), assigned.positives
        images, anchors, rows, columns = positives.index
        at = (edits.image.repeat(2)[images], anchors, rows, columns)
        own = preset.positive_costs(entries_at(self.head, self.geometry, at), positives, edits.scenes)
        changes = {name: _by_edit(costs, positives.matches.images, count) for name, costs in own.by_match.items()}
        changes |= {name: _by_edit(costs, images, count) for name, costs in own.by_positive.items()}
        return changes | {"no_objectness": self._background_change(edits, positives)}

    def _background_change(self, edits: ObjectEdits, positives: Positives) -> Tensor:
        """Return what each edit adds to the costs of predictors without an object, float64 [E]."""
        count, num_predictors = len(edits), len(self.background) // self.geometry.batch_size
        scene = edits.scenes.image_index[edits.edited]
        objects, covered = self.covered(edits.scenes.boxes_cxcywh_norm[edits.edited], edits.image[scene % count])
        scenes = torch.cat((scene[objects], positives.images))
        places = torch.cat((covered, positives.predictors)) % num_predictors
        keys, of_key = torch.unique(scenes % count * num_predictors + places, return_inverse=True)
        sign = torch.where(scenes < count, -1, 1)
        split = len(objects)
        more_covers = torch.zeros_like(keys).index_add_(0, of_key[:split], sign[:split])
        more_positive = torch.zeros_like(keys).index_add_(0, of_key[split:], sign[split:])
        edit = keys // num_predictors
        predictor = edits.image[edit] * num_predictors + keys % num_predictors
        covers, positive = self.covers[predictor], self.positive[predictor]
        before = (covers == 0) & (positive == 0)
        after = (covers + more_covers == 0) & (positive + more_positive == 0)
        changes = self.background[predictor] * (after.double() - before.double())
        return torch.zeros(count, dtype=torch.float64).index_add_(0, edit, changes)


def _by_edit(costs: Tensor, scenes: Tensor, count: int) -> Tensor:
    """Return the costs after each edit minus those before it, float64 [E]."""
    signed = torch.where(scenes < count, -costs, costs).double()
    return torch.zeros(count, dtype=torch.float64).index_add_(0, scenes % max(count, 1), signed)
