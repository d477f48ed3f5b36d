"""Evidence for label errors: how the merged detections of an image agree with each of its labels, and with none.

Boxes are fractions of the image (its own width and height), so that neither the network's size nor letterboxing
matters. Every feature belongs to one label or one candidate and is computed from its image alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from yoloscope.models.boxes import FLOOR, paired_iou
from yoloscope.models.nms import diou_nms
from yoloscope.training.data.annotations import ImageLabels, usable_rows
from yoloscope.training.diagnostics.views import MergedDetections

MATCH_IOU: Final = 0.5
"""A detection and a label are of one object from this overlap on."""
SAME_PLACE_IOU: Final = 0.15
"""A detection of another class speaks against a label's class from this overlap on."""
TOUCH_IOU: Final = 0.1
EDGE: Final = 0.004
"""A box within this share of the image's side from an edge is cut by it."""
_LOGIT_FLOOR: Final = 1e-4

CLASS_FEATURES: Final = ("overlap_other", "overlap_same", "score_other", "score_same")
LOCATION_FEATURES: Final = (
    "score",
    "iou",
    "iou_squared",
    "iou_high",
    "iou_low",
    "disagreement",
    "disagreement_high",
    "score_same",
    "spread",
    "cut",
    "center_offset",
    "center_offset_squared",
    "size_ratio",
    "size_ratio_squared",
    "rival_iou",
    "best_iou",
    "best_iou_squared",
    "best_iou_high",
    "best_iou_low",
)
SPURIOUS_FEATURES: Final = ("overlap_any", "overlap_same", "score_any", "score_touching", "log_size", "cut", "crowding")
MISSING_FEATURES: Final = ("score", "cut", "visible_part")
IOU_HIGH, IOU_LOW = 0.72, 0.38
"""Bounds of an overlap that is rarely, and nearly always, a badly placed label's (see ``injection.SHIFT_IOU``)."""
_FAINT: Final = 0.02


@dataclass(frozen=True)
class LabelBatch:
    """Labels of a batch of images, padded to the largest count L.

    ``boxes_xyxy_frac`` float32 [B, L, 4] as fractions of the image; ``class_ids`` int64 [B, L], -1 in the padding;
    ``crowd`` bool [B, L]; ``index`` int64 [B, L], the position in the image's labels; ``size_px`` float32 [B, 2], width
    and height of the images. Labels that no model could learn are left out.
    """

    boxes_xyxy_frac: Tensor
    class_ids: Tensor
    crowd: Tensor
    index: Tensor
    size_px: Tensor

    @property
    def judged(self) -> Tensor:
        """Mask bool [B, L] of the labels that are judged: not padding, no crowd."""
        return (self.class_ids >= 0) & ~self.crowd

    @classmethod
    def of(cls, images: Sequence[ImageLabels]) -> LabelBatch:
        """Return the usable labels of each image."""
        rows = [usable_rows(labels) for labels in images]
        shape = len(images), max(map(len, rows), default=0)
        boxes = torch.zeros(*shape, 4, dtype=torch.float64)
        class_ids, index = torch.full(shape, -1), torch.full(shape, -1)
        crowd = torch.zeros(shape, dtype=torch.bool)
        sizes = torch.tensor([(labels.image_width, labels.image_height) for labels in images], dtype=torch.float64)
        for row, (labels, usable) in enumerate(zip(images, rows, strict=True)):
            count = len(usable)
            boxes[row, :count] = torch.from_numpy(labels.boxes_xyxy_px[usable])
            class_ids[row, :count] = torch.from_numpy(labels.class_ids[usable])
            crowd[row, :count] = torch.tensor([labels.objects[i].crowd for i in usable], dtype=torch.bool)
            index[row, :count] = torch.tensor(usable, dtype=torch.int64)
        boxes = boxes / sizes.reshape(-1, 1, 2).tile(1, 1, 2)
        return cls(boxes.float(), class_ids, crowd, index, sizes.float())


@dataclass(frozen=True)
class LabelEvidence:
    """Features of all judged labels of a batch, flat [n, F], by kind, and the edits that they speak for.

    ``image`` and ``slot`` int64 [n] are the label's place in the batch; ``other`` and ``located`` int64 [n] the columns
    of the detections that a relabeling and a move go by, -1 for none; ``iou`` float32 [n] is that of ``located``.
    """

    image: Tensor
    slot: Tensor
    classes: Tensor
    location: Tensor
    spurious: Tensor
    other: Tensor
    located: Tensor
    iou: Tensor


@dataclass(frozen=True)
class CandidateEvidence:
    """Features [m, F] of the detections that match no label, flat over the batch.

    ``image`` and ``column`` int64 [m] are the detection's place in the batch.
    """

    image: Tensor
    column: Tensor
    features: Tensor


def logit(probability: Tensor) -> Tensor:
    """Return log odds, bounded at about 9.2."""
    bounded = probability.clamp(_LOGIT_FLOOR, 1 - _LOGIT_FLOOR)
    return bounded.log() - (-bounded).log1p()


def label_evidence(labels: LabelBatch, found: MergedDetections) -> LabelEvidence:
    """Return the evidence on every judged label, image by image in the order of the labels."""
    image, slot = labels.judged.nonzero(as_tuple=True)
    boxes, class_ids = labels.boxes_xyxy_frac[image, slot], labels.class_ids[image, slot]
    detected, scores = _with_nothing(found.boxes_xyxy_frac)[image], _with_nothing(found.scores)[image]
    columns = _with_nothing(found.class_ids, fill=-1)[image]
    overlap = paired_iou(boxes[:, None], detected)
    same = columns == class_ids[:, None]
    matching, product = overlap >= MATCH_IOU, scores * overlap
    weight_same, located = torch.where(same, product, 0.0).max(1)
    weight_other, other = torch.where(~same & (overlap >= SAME_PLACE_IOU), product, 0.0).max(1)
    score_same = torch.where(same & matching, scores, 0.0).amax(1)
    cut, log_size = _cut(boxes), _log_size(boxes, labels.size_px[image])
    classes = [
        logit(weight_other),
        logit(weight_same),
        logit(torch.where(~same & matching, scores, 0.0).amax(1)),
        logit(score_same),
    ]
    spurious = [
        logit(product.amax(1)),
        logit(weight_same),
        logit(torch.where(matching, scores, 0.0).amax(1)),
        logit(torch.where(overlap >= TOUCH_IOU, scores, 0.0).amax(1)),
        log_size,
        cut,
        _crowding(labels)[image, slot],
    ]
    has_place = weight_same > 0
    spread = _with_nothing(found.spread)[image]
    chosen = _Located(
        boxes,
        _pick(detected, located),
        _pick(scores, located),
        _pick(overlap, located),
        _pick(spread, located),
        torch.where(same & (scores > _FAINT), overlap, 0.0).amax(1),
    )
    return LabelEvidence(
        image,
        slot,
        torch.stack(classes, 1),
        torch.stack(_location(chosen, has_place, score_same, cut, _rival(labels, image, slot, chosen.predicted)), 1),
        torch.stack(spurious, 1),
        torch.where(weight_other > 0, other, -1),
        torch.where(has_place, located, -1),
        torch.where(has_place, chosen.iou, 0.0),
    )


@dataclass(frozen=True)
class _Located:
    """Labels [n, 4], and of each the detection of its class that fits it best: box, score, overlap, spread.

    ``best_iou`` is the largest overlap with any detection of its class that is not negligible.
    """

    boxes: Tensor
    predicted: Tensor
    score: Tensor
    iou: Tensor
    spread: Tensor
    best_iou: Tensor


def _location(at: _Located, has_place: Tensor, score_same: Tensor, cut: Tensor, rival: Tensor) -> list[Tensor]:
    size, predicted = _extent(at.boxes), _extent(at.predicted)
    offset = ((at.boxes[:, :2] + at.boxes[:, 2:]) - (at.predicted[:, :2] + at.predicted[:, 2:])).abs() / 2
    center_offset = (offset / (size * predicted).sqrt().clamp_min(FLOOR)).amax(1).clamp_max(3.0)
    size_ratio = (size.clamp_min(FLOOR) / predicted.clamp_min(FLOOR)).log().abs().amax(1).clamp_max(3.0)
    disagreement = at.score * (1 - at.iou)
    columns = [at.score, *_overlaps(at.iou), disagreement, disagreement * (at.iou > IOU_HIGH)]
    nothing = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    seen = [torch.where(has_place, value, blank) for value, blank in zip(columns, nothing, strict=True)]
    apart = [at.spread, center_offset, center_offset.square(), size_ratio, size_ratio.square(), rival]
    spread, *geometry = (torch.where(has_place, value, 0.0) for value in apart)
    return [*seen, logit(score_same), spread, cut, *geometry, *_overlaps(at.best_iou)]


def _overlaps(iou: Tensor) -> list[Tensor]:
    """Return an overlap, its square, and whether it is high and low."""
    return [iou, iou.square(), (iou > IOU_HIGH).float(), (iou < IOU_LOW).float()]


def candidate_evidence(labels: LabelBatch, found: MergedDetections, typical_size: Tensor) -> CandidateEvidence:
    """Return the evidence on every detection that no label and no crowd region accounts for, one for each object.

    ``typical_size`` [C] is that of each class's labels: the root of the area, as a share of the image's. What is not a
    pixel wide and high in the image is left out, such as detections in the margin of a letterbox.
    """
    boxes = found.boxes_xyxy_frac
    free = (found.class_ids >= 0) & ((_extent(boxes.clamp(0, 1)) * labels.size_px[:, None]).amin(2) >= 1)
    if labels.class_ids.shape[1]:
        known = (labels.class_ids >= 0)[:, None]
        overlap = paired_iou(boxes[:, :, None], labels.boxes_xyxy_frac[:, None])
        covered = _inside(boxes[:, :, None], labels.boxes_xyxy_frac[:, None]) >= MATCH_IOU
        free &= ~((overlap >= MATCH_IOU) & known).any(2) & ~(covered & labels.crowd[:, None]).any(2)
    image, column = best_classes(found, *free.nonzero(as_tuple=True))
    features = detection_features(found, image, column, labels.size_px, typical_size)
    return CandidateEvidence(image, column, features)


def best_classes(found: MergedDetections, image: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Return those of chosen detections that no better one of another class overlaps by half: one for each object."""
    boxes, scores = found.boxes_xyxy_frac[image, column], found.scores[image, column]
    kept = diou_nms(boxes, scores, image, MATCH_IOU, beta=None).sort().values
    return image[kept], column[kept]


def detection_features(
    found: MergedDetections, image: Tensor, column: Tensor, size_px: Tensor, typical_size: Tensor
) -> Tensor:
    """Return the features [m, F] of ``MISSING_FEATURES`` of chosen detections."""
    boxes = found.boxes_xyxy_frac[image, column]
    visible = _extent(boxes.clamp(0, 1)) * size_px[image]
    unit = size_px[image].prod(1).sqrt() * typical_size[found.class_ids[image, column]]
    cut = _cut(boxes)
    part = (visible.amin(1) / unit.clamp_min(FLOOR)).clamp(0, 1.5)
    return torch.stack([logit(found.scores[image, column]), cut, cut * part], 1)


def typical_sizes(labels: Sequence[LabelBatch], num_classes: int) -> Tensor:
    """Return the median size of each class's labels [C]: the root of the area, as a share of the image's.

    A class without labels has the median of all.
    """
    sizes = torch.cat([_extent(batch.boxes_xyxy_frac[batch.judged]).prod(1).sqrt() for batch in labels])
    class_ids = torch.cat([batch.class_ids[batch.judged] for batch in labels])
    overall = sizes.median() if len(sizes) else torch.tensor(1.0)
    own = [sizes[class_ids == index] for index in range(num_classes)]
    return torch.stack([values.median() if len(values) else overall for values in own])


def _with_nothing(padded: Tensor, fill: float = 0) -> Tensor:
    """Return [B, K, ...] with one more column of padding, so that a maximum always exists."""
    return torch.cat((padded, padded.new_full((padded.shape[0], 1, *padded.shape[2:]), fill)), 1)


def _pick(values: Tensor, column: Tensor) -> Tensor:
    return values[torch.arange(len(column)), column]


def _extent(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)


def _cut(boxes: Tensor) -> Tensor:
    return ((boxes[..., :2] < EDGE).any(-1) | (boxes[..., 2:] > 1 - EDGE).any(-1)).float()


def _log_size(boxes: Tensor, size_px: Tensor) -> Tensor:
    return (_extent(boxes) * size_px).prod(-1).clamp_min(1).log() / 2


def _inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """Return the share of each box that lies in each region."""
    low = torch.maximum(boxes[..., :2], regions[..., :2])
    shared = (torch.minimum(boxes[..., 2:], regions[..., 2:]) - low).clamp_min(0).prod(-1)
    return shared / _extent(boxes).prod(-1).clamp_min(FLOOR)


def _crowding(labels: LabelBatch) -> Tensor:
    """Return the largest overlap [B, L] of each label with another one."""
    boxes, judged = labels.boxes_xyxy_frac, labels.judged
    overlap = paired_iou(boxes[:, :, None], boxes[:, None])
    others = judged[:, None] & ~torch.eye(boxes.shape[1], dtype=torch.bool)
    return torch.where(others, overlap, 0.0).amax(2) if boxes.shape[1] else boxes.new_zeros(boxes.shape[:2])


def _rival(labels: LabelBatch, image: Tensor, slot: Tensor, predicted: Tensor) -> Tensor:
    """Return the largest overlap [n] of the detection that a label goes by with another label."""
    others = labels.judged[image] & (torch.arange(labels.class_ids.shape[1]) != slot[:, None])
    overlap = paired_iou(predicted[:, None], labels.boxes_xyxy_frac[image])
    return torch.where(others, overlap, 0.0).amax(1) if len(image) else predicted.new_zeros(0)
