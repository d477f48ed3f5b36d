"""Distillation loss: KL divergence of objectness and classes from a teacher's, CIoU of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.models import boxes
from yoloscope.models.errors import NonFiniteLossError, SpecError
from yoloscope.models.layout import BOX, CLASSES, OBJECTNESS
from yoloscope.models.spec import DetectorSpec, HeadSpec
from yoloscope.training.assignment.grid import HeadGeometry, head_geometries
from yoloscope.training.losses.decode import compute_dtype, decode_planes, entries_of, extent_rule

DISTILLED: Final = ("box", "objectness", "classification")


def can_be_distilled(head: HeadSpec) -> bool:
    """Return whether ``distillation_costs`` knows a head: anchors, logistic objectness, classes without a tree."""
    known = head.class_activation in {"sigmoid", "softmax"}
    return head.kind in {"yolo", "region"} and head.activation == "sigmoid" and known


def distillation_costs(
    heads: Sequence[Tensor], teacher_heads: Sequence[Tensor], spec: DetectorSpec, box_weight: float = 5.0
) -> Tensor:
    """Return costs float [H, 3], by head and term of ``DISTILLED``, on the graph of ``heads``.

    Both are raw heads of ``spec``, those of the student and of its teacher, which is a constant. With the teacher's
    objectness p every predictor costs the divergence KL(p || student's), p times that of the class probabilities, and
    p * ``box_weight`` * (1 - CIoU) of the two boxes: what the teacher takes for background teaches no box or class.
    All is 0 where the student answers as the teacher does. Costs are summed over cells and averaged over the images,
    as those of ``compute_loss``. Raises SpecError for other shapes, and NonFiniteLossError naming image and
    term.

    Source: Mehta and Ozturk, Object detection at 200 Frames Per Second, 2018, section 3.2 (objectness-scaled
    distillation), with divergences and CIoU for its squared errors.
    """
    geometries = head_geometries(heads, spec)
    if [grid.shape for grid in geometries] != [grid.shape for grid in head_geometries(teacher_heads, spec)]:
        raise SpecError("expected heads of student and teacher for the same images, got other batches or sizes")
    triples = zip(heads, teacher_heads, geometries, strict=True)
    with torch.autocast(device_type=heads[0].device.type, enabled=False):
        costs = torch.stack([_of_head(head, other.detach(), grid, box_weight) for head, other, grid in triples])
    _require_finite(costs.detach())
    return costs.mean(2)


def _require_finite(costs: Tensor) -> None:
    """Raise NonFiniteLossError, naming image and term, unless all costs [H, 3, B] are finite."""
    if bool(costs.isfinite().all()):
        return
    head, term, image = (~costs.isfinite()).nonzero()[0].tolist()
    value = float(costs[head, term, image])
    raise NonFiniteLossError(f"image {image}, distillation: term {DISTILLED[term]!r} of head {head} is {value}")


def _of_head(head: Tensor, teacher_head: Tensor, geometry: HeadGeometry, box_weight: float) -> Tensor:
    """Return the costs [3, B] of one head, by term and image."""
    student, teacher = (entries_of(raw.to(compute_dtype(raw)), geometry.num_anchors) for raw in (head, teacher_head))
    certainty = teacher[:, :, OBJECTNESS].sigmoid()
    objectness = _binary_divergence(teacher[:, :, OBJECTNESS], student[:, :, OBJECTNESS])
    divergence = _divergence if geometry.spec.class_activation == "softmax" else _binary_divergence
    classes = divergence(teacher[:, :, CLASSES:], student[:, :, CLASSES:]).sum(2)
    overlap = boxes.paired_ciou(_boxes_xyxy(student, geometry), _boxes_xyxy(teacher, geometry))
    terms = (box_weight * certainty * (1 - overlap), objectness, certainty * classes)
    return torch.stack([term.sum((1, 2, 3)) for term in terms])


def _binary_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(sigmoid(teacher) || sigmoid(student)), elementwise; exact for large logits."""
    p = teacher.sigmoid()
    at_teacher = functional.binary_cross_entropy_with_logits(teacher, p, reduction="none")
    return functional.binary_cross_entropy_with_logits(student, p, reduction="none") - at_teacher


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the summands of KL(softmax(teacher) || softmax(student)) over the classes, dimension 2."""
    log_p = teacher.log_softmax(2)
    return log_p.exp() * (log_p - student.log_softmax(2))


def _boxes_xyxy(entries: Tensor, geometry: HeadGeometry) -> Tensor:
    """Return the boxes [B, A, h, w, 4] as fractions of the network input."""
    x, y, w, h = entries[:, :, BOX].unbind(2)
    planes = decode_planes((x, y, w, h), geometry, "scaled", extent_rule("head", geometry))
    return boxes.cxcywh_to_xyxy(torch.stack(planes, dim=-1))
