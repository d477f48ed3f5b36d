"""Losses that autograd differentiates, described by the axes on which YOLOv1 to v4 differ.

A preset names its rules; ``FormulaPreset.costs`` decodes, assigns, and computes the terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor
from torch.nn import functional

from yoloscope.models.errors import PresetError
from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import (
    AssignmentRules,
    CollisionRule,
    DecodedHead,
    HeadAssignment,
    Matching,
    Positives,
    assign,
)
from yoloscope.training.assignment.grid import HeadGeometry
from yoloscope.training.losses.costs import TERMS, HeadCosts, apply_object_weights
from yoloscope.training.losses.decode import (
    CenterDecode,
    ExtentDecode,
    bound_gradient,
    box_entries,
    box_planes,
    class_logits,
    decode_cells,
    decode_planes,
    extent_rule,
    objectness_and_entries,
)
from yoloscope.training.losses.preset import BatchCosts, LossInputs, LossPreset, Normalizer, PresetConfig
from yoloscope.training.losses.terms import (
    BOX_LOSSES,
    BoxPairs,
    ClassActivation,
    ClassLoss,
    ObjectnessLoss,
    class_cost,
    class_probabilities,
    objectness_cost,
    pair_boxes,
    predicted_iou,
    prior_cost,
)

ObjectnessTarget = Literal["one", "iou", "blend", "smooth"]
FORMER_NAMES: Mapping[str, str] = {
    "mse_t": "mse_logits",
    "l1_t": "l1_logits",
    "bce_xy_sse_wh": "bce_xy_mse_wh",
    "best_anchor_of_head": "best_anchor_per_head",
}
"""Values that presets in older model files and configurations use, and what they are called now."""


def _current_name(value: object) -> object:
    return FORMER_NAMES.get(value, value) if isinstance(value, str) else value


def _known_box_loss(value: object) -> object:
    name = _current_name(value)
    if name not in BOX_LOSSES:
        raise ValueError(f"expected one of {', '.join(sorted(BOX_LOSSES))}")
    return name


class Weights(PresetConfig):
    """Lambdas: the weight of each term's raw sum, one number or one per head."""

    xy: float | tuple[float, ...] = 1.0
    wh: float | tuple[float, ...] = 1.0
    box: float | tuple[float, ...] = 1.0
    objectness: float | tuple[float, ...] = 1.0
    no_objectness: float | tuple[float, ...] = 1.0
    classification: float | tuple[float, ...] = 1.0
    prior: float | tuple[float, ...] = 0.01


@dataclass(frozen=True)
class PositiveCosts:
    """Raw costs of the predictors of a head that have objects; ``HeadCosts`` says what each is."""

    by_match: dict[str, Tensor]
    by_positive: dict[str, Tensor]
    parts: dict[str, Tensor]
    iou: Tensor


class FormulaPreset(LossPreset):
    """A loss that autograd differentiates; every key is one axis on which the YOLO losses differ."""

    decode_xy: CenterDecode = "scaled"
    decode_wh: ExtentDecode = "head"
    """``head`` follows the head's own coordinates: exp, or (2 sigmoid)^2 where it says ``new_coords``."""
    confidence: Literal["sigmoid", "linear"] = "sigmoid"
    class_activation: ClassActivation = "sigmoid"
    match: Annotated[Matching, BeforeValidator(_current_name)] = "anchors_above"
    """The cell's best predicted IoU, the best anchor shape of each head or of all, that plus every anchor above
    ``match_threshold``, or every anchor within the ratio ``match_threshold``."""
    match_threshold: float = Field(default=0.213, gt=0)
    collision: CollisionRule = "mean"
    """Objects that share a predictor: the first, the last or the one of the best predicted IoU stays, or all add up or
    are averaged."""
    ignore_threshold: float | None = Field(default=0.7, ge=0, le=1)
    """Background predictors whose MaxIoU exceeds it pay nothing."""
    ignore_class_gate: float | None = Field(default=None, ge=0, le=1)
    """They are ignored only if some class probability exceeds this, too."""
    objectness_target: ObjectnessTarget = "one"
    """1, the predicted IoU, a blend 1 - g + g * IoU, or ``smooth``: 1, while ignored predictors aim at their MaxIoU."""
    objectness_blend: float = Field(default=1.0, ge=0, le=1)
    """g of the blend."""
    objectness_loss: ObjectnessLoss = "bce"
    box_loss: Annotated[str, BeforeValidator(_known_box_loss)] = "ciou"
    """A name of ``terms.BOX_LOSSES``."""
    box_size_weight: bool = False
    """Multiply box terms by 2 - w * h of the object."""
    box_iou_gate: float | None = Field(default=None, ge=0, lt=1)
    """Box terms only where anchor and object overlap by more."""
    alpha_gate: bool = False
    """CIoU's alpha is 0 up to IoU 0.5."""
    class_loss: ClassLoss = "bce"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0)
    focal_alpha: float = Field(default=0.25, ge=0, le=1)
    weights: Weights = Weights()
    scale_weights: tuple[float, ...] | None = None
    """One factor per head on every term."""
    class_weights: tuple[float, ...] | None = None
    """One factor per class."""
    normalizer: Normalizer = "images"
    """Divisor of the sum; for ``positives`` and ``cells``, their mean number per image as well."""
    prior_images: int = Field(default=0, ge=0)
    """Images seen until which every predictor is pulled to its anchor."""
    max_delta: float | None = Field(default=None, gt=0)
    """Bound of each gradient entry of a raw box."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        needs_sigmoid = self.class_loss in {"bce", "focal"} and self.class_activation != "sigmoid"
        if needs_sigmoid:
            raise ValueError(f"class_loss {self.class_loss!r} needs class_activation 'sigmoid'")
        if self.class_loss == "ce" and self.class_activation != "softmax":
            raise ValueError("class_loss 'ce' needs class_activation 'softmax'")
        if self.objectness_loss != "mse" and self.confidence != "sigmoid":
            raise ValueError(f"objectness_loss {self.objectness_loss!r} needs confidence 'sigmoid'")
        if BOX_LOSSES[self.box_loss].compares == "logits" and self.decode_xy == "linear":
            raise ValueError(f"box_loss {self.box_loss!r} needs decode_xy 'sigmoid' or 'scaled'")
        if self.objectness_target == "smooth" and self.ignore_class_gate is not None:
            raise ValueError(
                "objectness_target 'smooth' has no ignore_class_gate: every ignored predictor has a target"
            )
        return self

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if self.match == "cell_best_iou" and self.collision != "first":
            raise ValueError(f"match 'cell_best_iou' needs collision 'first', got {self.collision!r}")
        if self.match == "cell_best_iou" and self.prior_images:
            raise ValueError("match 'cell_best_iou' has no anchors that prior_images could pull to")
        return self

    @property
    def normalized_by(self) -> Normalizer:
        """Divisor of the summed costs."""
        return self.normalizer

    @property
    def head_kinds(self) -> frozenset[str]:
        """Kinds of head that the preset scores."""
        return frozenset({"detection"} if self.match == "cell_best_iou" else {"yolo", "region"})

    @property
    def is_formula(self) -> bool:
        """Whether the keys of this class apply."""
        return True

    @property
    def extra_anchor_iou(self) -> float | None:
        """Shape IoU above which further anchors are assigned to an object."""
        return self.match_threshold if self.match == "anchors_above" else None

    def require_fit(self, spec: DetectorSpec) -> None:
        """Raise PresetError unless the preset can score the heads of a detector."""
        super().require_fit(spec)
        if self.class_weights and len(self.class_weights) != spec.num_classes:
            raise PresetError(
                f"preset key 'class_weights': expected {spec.num_classes}, one per class, got {len(self.class_weights)}"
            )
        activated = [i for i, head in enumerate(spec.heads) if head.kind == "yolo" and head.activation == "none"]
        if activated:
            raise PresetError(f"preset {self.name!r} needs logits, but head {activated[0]} ends without a logistic")

    def term_weights(self, num_heads: int) -> list[list[float]]:
        """Return the weight [H][T] of every term in every head; raise PresetError where a tuple is not one per head."""
        columns = [_per_head(getattr(self.weights, term), num_heads, f"weights.{term}") for term in TERMS]
        scales = _per_head(self.scale_weights or 1.0, num_heads, "scale_weights")
        return [[column[head] * scale for column in columns] for head, scale in enumerate(scales)]

    def costs(self, inputs: LossInputs) -> BatchCosts:
        """Return the raw costs of a batch: decode, assign, cost."""
        predictions = self.decode(inputs.heads, inputs.geometries, any_objects=bool(len(inputs.truth)))
        assignments = assign(predictions, inputs.truth, inputs.spec.anchors_px, self.assignment_rules)
        heads = [self._head_costs(h, own, inputs) for h, own in zip(inputs.heads, assignments, strict=True)]
        weights = inputs.truth.weights
        return BatchCosts.of_heads(heads if weights is None else [apply_object_weights(h, weights) for h in heads])

    @property
    def assignment_rules(self) -> AssignmentRules:
        """The rules by which objects are assigned to predictors."""
        return AssignmentRules(
            self.match,
            self.match_threshold,
            self.collision,
            self.ignore_threshold,
            self.ignore_class_gate,
            keep_max_iou=self.objectness_target == "smooth",
        )

    @torch.no_grad()
    def decode(
        self, heads: Sequence[Tensor], geometries: Sequence[HeadGeometry], *, any_objects: bool
    ) -> list[DecodedHead]:
        """Return what the heads predict now, as far as the assignment of objects, if there are any, looks at it."""
        needs_boxes = any_objects and (self.collision == "best_iou" or self.ignore_threshold is not None)
        return [self._decode(h, g, needs_boxes=needs_boxes) for h, g in zip(heads, geometries, strict=True)]

    def _decode(self, head: Tensor, geometry: HeadGeometry, *, needs_boxes: bool) -> DecodedHead:
        boxes = None
        if needs_boxes:
            rule = extent_rule(self.decode_wh, geometry)
            boxes = decode_planes(box_planes(head, geometry), geometry, self.decode_xy, rule)

        def cell_boxes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
            return decode_cells(head, geometry, (images, rows, columns), self.decode_xy, self.decode_wh)

        def best_probability(predictors: Tensor) -> Tensor:
            return class_probabilities(class_logits(head, geometry, predictors), self.class_activation).amax(-1)

        return DecodedHead(geometry, boxes, cell_boxes, best_probability)

    def _head_costs(self, head: Tensor, assignment: HeadAssignment, inputs: LossInputs) -> HeadCosts:
        positives = assignment.positives
        objectness, entries = objectness_and_entries(head, positives.matches.geometry, positives.index)
        own = self.positive_costs(entries, positives, inputs.truth)
        by_predictor = {"no_objectness": self._no_objectness(objectness, assignment)}
        if inputs.images_seen is not None and inputs.images_seen < self.prior_images:
            by_predictor["prior"] = self._prior(head, assignment)
        return HeadCosts(
            assignment=assignment,
            by_match=own.by_match,
            by_positive=own.by_positive,
            by_predictor=by_predictor,
            parts=own.parts,
            iou=own.iou,
        )

    def positive_costs(self, entries: Tensor, positives: Positives, truth: GroundTruth) -> PositiveCosts:
        """Return what the predictors that have objects cost; ``entries`` [P, 5+C] are their raw outputs."""
        matches = positives.matches
        logits = bound_gradient(entries[:, BOX], self.max_delta)
        logits = logits if positives.distinct else logits[positives.of_match]
        pairs = pair_boxes(logits, matches, truth.boxes_cxcywh_norm, self.decode_xy, self.decode_wh)
        parts = self._box_parts(pairs, matches.anchor_iou)
        share = positives.share if self.collision == "mean" else None
        is_overlap = "overlap" in parts
        terms = {"box": torch.stack(tuple(parts.values())).sum(0)} if is_overlap else _xy_and_wh(parts)
        iou = (
            matches.anchor_iou.to(logits) if self.match == "cell_best_iou" and not is_overlap else predicted_iou(pairs)
        )
        targets = torch.zeros_like(entries[:, CLASSES:])
        targets[positives.of_match, truth.class_ids[matches.objects]] = 1
        return PositiveCosts(
            by_match=_scaled(terms, share),
            by_positive={
                "objectness": self._objectness(entries[:, OBJECTNESS], self._target(positives, iou)),
                "classification": self._classes(entries[:, CLASSES:], targets),
            },
            parts=_scaled(parts, share),
            iou=iou,
        )

    def _box_parts(self, pairs: BoxPairs, anchor_iou: Tensor) -> dict[str, Tensor]:
        weights = torch.ones_like(pairs.logits[:, 0]).detach()
        if self.box_size_weight:
            weights = 2 - pairs.target_cxcywh[:, 2] * pairs.target_cxcywh[:, 3]
        if self.box_iou_gate is not None:
            weights = weights * (anchor_iou > self.box_iou_gate)
        parts = BOX_LOSSES[self.box_loss](pairs, alpha_gate=self.alpha_gate)
        return {name: value * weights for name, value in parts.items()}

    def _target(self, positives: Positives, iou: Tensor) -> Tensor:
        """Return the objectness target [P]; where several objects share a predictor, the best of their overlaps."""
        ones = iou.new_ones(len(positives))
        if self.objectness_target in {"one", "smooth"}:
            return ones
        best = torch.zeros_like(ones).scatter_reduce_(0, positives.of_match, iou, "amax")
        if self.objectness_target == "blend":
            return 1 - self.objectness_blend + self.objectness_blend * best
        return best

    def _no_objectness(self, objectness: Tensor, assignment: HeadAssignment) -> Tensor:
        ignored, max_iou = assignment.ignored, assignment.max_iou
        spared = ignored.clone() if max_iou is None else torch.zeros_like(ignored)
        spared.view(-1)[assignment.positives.predictors] = True
        if max_iou is not None:
            costs = self._objectness(objectness, torch.where(ignored, max_iou, 0))
        else:
            costs = self.background_costs(objectness)
        return costs.masked_fill(spared, 0)

    def background_costs(self, objectness: Tensor) -> Tensor:
        """Return what raw objectness of any shape costs where there is no object."""
        if self.objectness_loss == "bce":
            return functional.softplus(objectness)
        return self._objectness(objectness, torch.zeros_like(objectness))

    def _objectness(self, logits: Tensor, target: Tensor) -> Tensor:
        gamma, alpha = self.focal_gamma, self.focal_alpha
        activated = self.confidence == "linear"
        return objectness_cost(logits, target, self.objectness_loss, activated=activated, gamma=gamma, alpha=alpha)

    def _classes(self, logits: Tensor, targets: Tensor) -> Tensor:
        return class_cost(
            logits,
            targets,
            self.class_loss,
            activation=self.class_activation,
            label_smoothing=self.label_smoothing,
            class_weights=self.class_weights,
            gamma=self.focal_gamma,
            alpha=self.focal_alpha,
        )

    def _prior(self, head: Tensor, assignment: HeadAssignment) -> Tensor:
        matches = assignment.positives.matches
        geometry = matches.geometry
        assigned = torch.zeros(geometry.shape, dtype=torch.bool, device=head.device)
        assigned.view(-1)[matches.predictors] = True
        scale = geometry.spec.scale_xy if self.decode_xy == "scaled" else 1.0
        return prior_cost(box_entries(head, geometry), scale, assigned)


def _xy_and_wh(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"xy": parts["centre"], "wh": parts["size"]}


def _scaled(costs: dict[str, Tensor], factor: Tensor | None) -> dict[str, Tensor]:
    return costs if factor is None else {name: value * factor.to(value) for name, value in costs.items()}


def _per_head(weight: float | tuple[float, ...], num_heads: int, key: str) -> list[float]:
    if not isinstance(weight, tuple):
        return [weight] * num_heads
    if len(weight) != num_heads:
        raise PresetError(f"preset key {key!r}: expected one number or {num_heads}, one per head, got {len(weight)}")
    return list(weight)
