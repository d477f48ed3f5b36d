"""Exact greedy suppression by DIoU or plain IoU, in one source for eager, CUDA and ONNX.

Greedy suppression is a fixed point: with the candidates of a group sorted by score, ``keep[j]`` holds unless some
earlier kept ``i`` is similar to ``j``. Iterated from all-true it settles in as many passes as the longest chain of
suppressions, and what settles is the sequential result exactly.

Only pairs of one group are formed. The best of every group is kept for sure, so it meets all others first: crowds of
near-duplicates vanish there. Then a round takes the best few undecided candidates of every group, compares each with
the undecided ones after it, and settles; whoever it suppresses is never compared again. A round has as many rows, the
r-th best of each candidate's group, as ``pairs`` allows; the allowance grows from round to round, so that few are
needed where nearly all are kept, up to ``MAX_PAIRS``, which bounds memory and fits a cache.

Written for onnxruntime on the CPU, where gathering single elements (GatherElements, ``torch.gather``) takes a tenth of
the time of gathering slices (Gather, GatherND).

Source: Zheng et al., Distance-IoU Loss, 2020, section 3.4; darknet src/box.c ``diounms_sort``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

FIRST_PAIRS = 1 << 11
PAIRS_GROWTH = 4
MAX_PAIRS = 1 << 16

_Carried = tuple[Tensor, ...]


class Boxes(NamedTuple):
    """Corner boxes as columns [...], with their areas; the area is 0 where an extent is negative."""

    x1: Tensor
    y1: Tensor
    x2: Tensor
    y2: Tensor
    area: Tensor

    @classmethod
    def of(cls, x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor) -> Boxes:
        """Return boxes of their corners."""
        return cls(x1, y1, x2, y2, (x2 - x1).clamp_min(0) * (y2 - y1).clamp_min(0))


class _Candidates(NamedTuple):
    """Boxes and thresholds [n]; group by group, score descending."""

    boxes: Boxes
    threshold: Tensor

    def take(self, index: Tensor) -> _Candidates:
        return _Candidates(Boxes(*(_take(column, index) for column in self.boxes)), _take(self.threshold, index))


def diou_nms(
    boxes_xyxy_norm: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    iou_threshold: Tensor | float,
    beta: float | None = 0.6,
    max_candidates: int | Tensor | None = None,
) -> Tensor:
    """Return the indices [k] of the kept candidates, score descending, equal scores by lower index.

    Within a group (one class of one image, numbered from 0) a candidate is suppressed by a kept one of higher score
    if their similarity is strictly above ``iou_threshold`` (one value, or [n]: that of the higher score counts).
    Similarity is ``IoU - (d / c) ** beta`` with d the squared center distance and c the squared diagonal of the
    enclosing box, or plain IoU where ``beta`` is None. It depends on the frame: boxes [n, 4] are fractions of the
    network input.

    A box with a coordinate that is not finite or without area has IoU 0 with every box; two boxes that are one point
    have distance 0. A candidate whose score is NaN is dropped, and so are all but the ``max_candidates`` highest.
    """
    count = scores.shape[0]
    is_number = scores == scores  # noqa: PLR0124 - false for NaN alone, and one operator in ONNX
    by_score = _stable_order(torch.where(is_number, scores, -torch.inf))
    by_group = torch.sort(_take(group_ids, by_score) * count + torch.arange(count, device=scores.device))[1]
    order = _take(by_score, by_group)
    corners = [_take(column, order) for column in boxes_xyxy_norm.T.unbind()]
    largest = torch.finfo(boxes_xyxy_norm.dtype).max
    finite = [column.abs() <= largest for column in corners]
    is_box = finite[0] & finite[1] & finite[2] & finite[3]
    boxes = Boxes.of(*corners)
    boxes = boxes._replace(area=torch.where(is_box, boxes.area, torch.nan))  # no IoU with it is above 0
    threshold = torch.as_tensor(iou_threshold, dtype=boxes.x1.dtype, device=scores.device).expand(count)
    candidates, starts = _Candidates(boxes, _take(threshold, order)), _starts(_take(group_ids, order))
    valid = _take(is_number, order)
    if max_candidates is not None:
        valid = valid & (by_group < max_candidates)
    kept = _suppress(candidates, starts, valid, beta)
    return _take(by_score, torch.zeros_like(kept).scatter(0, by_group, kept).nonzero().squeeze(1))


def _starts(group: Tensor) -> Tensor:
    """Return where the group of each candidate starts [n]."""
    is_first = group > torch.cat((group.new_full((1,), -1), group))[:-1]
    return _take(is_first.nonzero().squeeze(1), is_first.to(torch.int64).cumsum(0) - 1)


def _suppress(candidates: _Candidates, starts: Tensor, valid: Tensor, beta: float | None) -> Tensor:
    """Return which of the sorted candidates are kept [n]; one that is not valid is dropped and suppresses nothing."""

    def are_left(any_left: Tensor, undecided: Tensor, kept: Tensor, pairs: Tensor) -> Tensor:  # noqa: ARG001
        return any_left.clone()

    def round_(any_left: Tensor, undecided: Tensor, kept: Tensor, pairs: Tensor) -> _Carried:  # noqa: ARG001
        rows = undecided.nonzero().squeeze(1)
        count = rows.shape[0]
        current = candidates.take(rows)
        flags = undecided.to(torch.int64)
        start = _take(flags.cumsum(0) - flags, _take(starts, rows))
        rank = torch.arange(count, device=rows.device) - start
        share = torch.minimum((pairs / count).to(torch.int64).clamp_min(1), rank.topk(1)[0].squeeze(0) + 1)
        row = torch.arange(cast(int, share.item()), device=rows.device)[:, None]
        first = (start + row).clamp_max(count - 1)
        similar = (row < rank) & _is_similar(current.take(first), current, beta)
        is_source = rank < share
        survives = _settle(similar, first, is_source)
        left = survives & ~is_source
        return (
            _any(left),
            undecided.scatter(0, rows, left),
            kept.scatter(0, rows, survives & is_source),
            (pairs * PAIRS_GROWTH).clamp_max(MAX_PAIRS),
        )

    is_best = starts == torch.arange(valid.shape[0], device=valid.device)
    falls = _take(valid, starts) & _is_similar(candidates.take(starts), candidates, beta)
    undecided = valid & ~(is_best | falls)
    any_left = _any(torch.cat((undecided, undecided.new_zeros(1))))  # onnxruntime on CUDA takes no sum of nothing
    pairs = torch.full((), FIRST_PAIRS, dtype=torch.float32, device=valid.device)
    return _loop(are_left, round_, (any_left, undecided, valid & is_best, pairs))[2]


def _is_similar(first: _Candidates, second: _Candidates, beta: float | None) -> Tensor:
    """Return whether the similarity of pairs is above the threshold of their first member."""
    similarity = box_iou(first.boxes, second.boxes)
    if beta is not None:
        similarity = similarity - normalized_distance(first.boxes, second.boxes) ** beta
    return similarity > first.threshold


def _settle(similar: Tensor, first: Tensor, is_source: Tensor) -> Tensor:
    """Return who survives [n]: the fixed point of "no surviving ``first`` [r, n] is ``similar`` to me"."""
    weight = similar.to(torch.float32)

    def is_changing(survives: Tensor, changing: Tensor) -> Tensor:  # noqa: ARG001
        return changing.clone()

    def pass_(survives: Tensor, changing: Tensor) -> _Carried:  # noqa: ARG001
        after = ((weight * survives.expand_as(first).gather(1, first)).sum(0) == 0).to(torch.float32)
        return after, _any(after != survives)

    survives = (weight.sum(0) == 0).to(torch.float32)
    changing = _any(is_source & (survives == 0))
    return _loop(is_changing, pass_, (survives, changing))[0] > 0


def _any(flags: Tensor) -> Tensor:
    """Return whether any of the flags [n] is set; n is at least 1."""
    return flags.to(torch.float32).sum() > 0


def _take(column: Tensor, index: Tensor) -> Tensor:
    """Return the elements of a column [n] at the positions [n] or [r, n]."""
    return column.gather(0, index) if index.dim() == 1 else column.gather(0, index.flatten()).reshape(index.shape)


def box_iou(a: Boxes, b: Boxes) -> Tensor:
    """Return the IoU [...] of boxes pair by pair; 0 without area."""
    width = (torch.minimum(a.x2, b.x2) - torch.maximum(a.x1, b.x1)).clamp_min(0)
    height = (torch.minimum(a.y2, b.y2) - torch.maximum(a.y1, b.y1)).clamp_min(0)
    intersection = width * height
    union = a.area + b.area - intersection
    return torch.where(union > 0, intersection / union, 0.0)


def normalized_distance(a: Boxes, b: Boxes) -> Tensor:
    """Return squared center distance over squared enclosing diagonal [...] of boxes pair by pair."""
    twice_x, twice_y = (a.x1 + a.x2) - (b.x1 + b.x2), (a.y1 + a.y2) - (b.y1 + b.y2)
    width = torch.maximum(a.x2, b.x2) - torch.minimum(a.x1, b.x1)
    height = torch.maximum(a.y2, b.y2) - torch.minimum(a.y1, b.y1)
    distance = twice_x * twice_x + twice_y * twice_y
    diagonal = 4 * (width * width + height * height)
    return torch.where(diagonal > 0, distance / diagonal, 0.0)


def _stable_order(keys: Tensor) -> Tensor:
    """Return the permutation from high to low, equal keys in their old order (which ONNX TopK asks for)."""
    if torch.compiler.is_exporting():
        return torch.sort(keys, descending=True)[1]
    return torch.sort(keys, descending=True, stable=True)[1]


def _loop(condition: Callable[..., Tensor], body: Callable[..., _Carried], carried: _Carried) -> _Carried:
    """Run ``body`` while ``condition``; an ONNX Loop where the graph is being exported."""
    if torch.compiler.is_exporting():
        exported_loop: Callable[..., _Carried] = torch.while_loop
        return exported_loop(condition, body, carried)
    while condition(*carried):
        carried = body(*carried)
    return carried
