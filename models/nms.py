"""Exact greedy suppression by DIoU or plain IoU, in one source for eager, CUDA and ONNX.

Greedy suppression is a fixed point: with the candidates of a group sorted by score, ``keep[j]`` holds unless some
earlier kept ``i`` is similar to ``j``. Iterated from all-true it settles in as many passes as the longest chain of
suppressions, and what settles is the sequential result exactly.

Only pairs of one group are ever formed, as flat lists. A round takes the best few undecided candidates of every group,
pairs each with the undecided ones after it, and settles; whoever it suppresses is never paired again. The share taken
grows from round to round, so that crowds of near-duplicates vanish early and few rounds are needed where nearly all
are kept. ``MAX_PAIRS`` bounds the memory of a round (beyond it a round takes fewer).

Source: Zheng et al., Distance-IoU Loss, 2020, section 3.4; darknet src/box.c ``diounms_sort``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

MAX_PAIRS = 1 << 18
FIRST_SHARE = 2
SHARE_GROWTH = 4

_Carried = tuple[Tensor, ...]


class _Candidates(NamedTuple):
    """Corner boxes [n, 4], thresholds [n] and groups [n]; group by group, score descending."""

    boxes: Tensor
    threshold: Tensor
    group: Tensor


def diou_nms(
    boxes_xyxy_norm: Tensor,
    scores: Tensor,
    group_ids: Tensor,
    iou_threshold: Tensor | float,
    beta: float | None = 0.6,
) -> Tensor:
    """Return the indices [k] of the kept candidates, score descending, equal scores by lower index.

    Within a group (one class of one image, numbered from 0) a candidate is suppressed by a kept one of higher score
    if their similarity is strictly above ``iou_threshold`` (one value, or [n]: that of the higher score counts).
    Similarity is ``IoU - (d / c) ** beta`` with d the squared center distance and c the squared diagonal of the
    enclosing box, or plain IoU where ``beta`` is None. It depends on the frame: boxes [n, 4] are fractions of the
    network input.

    A box with a coordinate that is not finite or without area has IoU 0 with every box; two boxes that are one point
    have distance 0. A candidate whose score is NaN is dropped.
    """
    count = scores.shape[0]
    is_number = scores == scores  # noqa: PLR0124 - false for NaN alone, and one operator in ONNX
    by_score = _stable_order(torch.where(is_number, scores, -torch.inf))
    by_group = torch.sort(group_ids[by_score] * count + torch.arange(count, device=scores.device))[1]
    order = by_score[by_group]
    boxes = boxes_xyxy_norm[order]
    boxes = torch.where(torch.isfinite(boxes).all(1, keepdim=True), boxes, 0.0)
    threshold = torch.as_tensor(iou_threshold, dtype=boxes.dtype, device=boxes.device).expand(count)
    candidates = _Candidates(boxes, threshold[order], group_ids[order])
    kept = _suppress(candidates, is_number[order], beta)
    return by_score[torch.zeros_like(kept).scatter(0, by_group, kept).nonzero().squeeze(1)]


def _suppress(candidates: _Candidates, valid: Tensor, beta: float | None) -> Tensor:
    """Return which of the sorted candidates are kept [n]."""

    def any_undecided(undecided: Tensor, kept: Tensor, share: Tensor) -> Tensor:  # noqa: ARG001
        return _any(undecided)

    def round_(undecided: Tensor, kept: Tensor, share: Tensor) -> _Carried:
        rows = undecided.nonzero().squeeze(1)
        current = _Candidates(candidates.boxes[rows], candidates.threshold[rows], candidates.group[rows])
        later, is_source = _sources(current.group, share)
        first, second = _similar_pairs(current, *_expand(later, is_source), beta)
        survives = _settle(is_source, first, second)
        return (
            undecided.scatter(0, rows, survives & ~is_source),
            kept.scatter(0, rows, survives & is_source),
            (share * SHARE_GROWTH).clamp_max(MAX_PAIRS),
        )

    share = torch.full((), FIRST_SHARE, dtype=torch.int64, device=valid.device)
    return _loop(any_undecided, round_, (valid.clone(), torch.zeros_like(valid), share))[1]


def _sources(group: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many of its group come after each candidate, and which are decided now: a prefix of each group."""
    position = torch.arange(group.shape[0], device=group.device)
    is_first = torch.cat((group.new_full((1,), -1), group))[:-1] != group
    starts = is_first.nonzero().squeeze(1)
    ends = torch.cat((starts, starts.new_full((1,), group.shape[0])))[1:]
    ordinal = is_first.to(torch.int64).cumsum(0) - 1
    later = ends[ordinal] - position - 1
    wanted = position - starts[ordinal] < share
    pairs_so_far = torch.where(wanted, later, 0).cumsum(0)
    return later, wanted & ((pairs_so_far <= MAX_PAIRS) | (pairs_so_far == later))


def _expand(later: Tensor, is_source: Tensor) -> tuple[Tensor, Tensor]:
    """Return every pair (source, candidate after it in its group) as two flat lists of positions."""
    source = (is_source & (later > 0)).nonzero().squeeze(1)
    start = later[source].cumsum(0) - later[source]
    total = cast(int, _padded(later[source]).sum().item())
    marks = start.new_zeros(total).scatter(0, start, torch.ones_like(start))
    pair_source = marks.cumsum(0) - 1
    second = torch.arange(total, device=later.device) + (source + 1 - start)[pair_source]
    return source[pair_source], second


def _similar_pairs(candidates: _Candidates, i: Tensor, j: Tensor, beta: float | None) -> tuple[Tensor, Tensor]:
    """Return the pairs whose similarity is above the threshold of their first member."""
    columns, threshold = candidates.boxes.T.contiguous(), candidates.threshold
    iou = box_iou(columns.index_select(1, i), columns.index_select(1, j))
    overlapping = (iou > threshold[i]).nonzero().squeeze(1)
    i, j, iou = i[overlapping], j[overlapping], iou[overlapping]
    if beta is None:
        return i, j
    similarity = iou - normalized_distance(columns.index_select(1, i), columns.index_select(1, j)) ** beta
    similar = (similarity > threshold[i]).nonzero().squeeze(1)
    return i[similar], j[similar]


def _settle(is_source: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return who survives [n]: the fixed point of "no surviving source is similar to me"."""

    def is_changing(survives: Tensor, changing: Tensor) -> Tensor:  # noqa: ARG001
        return changing.clone()

    def pass_(survives: Tensor, changing: Tensor) -> _Carried:  # noqa: ARG001
        suppressed = second[survives[first].nonzero().squeeze(1)]
        after = torch.ones_like(survives).scatter(0, suppressed, torch.zeros_like(suppressed, dtype=torch.bool))
        return after, _any(after != survives)

    changing = torch.ones((), dtype=torch.bool, device=is_source.device)
    return _loop(is_changing, pass_, (torch.ones_like(is_source), changing))[0]


def _any(flags: Tensor) -> Tensor:
    """Return whether any flag is set; none is where there are none."""
    return _padded(flags).sum() > 0


def _padded(values: Tensor) -> Tensor:
    """Return values [n] with a zero behind them: onnxruntime on CUDA takes no sum of nothing."""
    return torch.cat((values, values.new_zeros(1)))


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU [...] of boxes given as columns x1, y1, x2, y2 [4, ...]; 0 without area."""
    extent_a, extent_b = (a[2:] - a[:2]).clamp_min(0), (b[2:] - b[:2]).clamp_min(0)
    overlap = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp_min(0)
    intersection = overlap[0] * overlap[1]
    union = extent_a[0] * extent_a[1] + extent_b[0] * extent_b[1] - intersection
    return torch.where(union > 0, intersection / union, 0.0)


def normalized_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return squared center distance over squared enclosing diagonal [...] of columns as ``box_iou`` takes them."""
    twice_offset = (a[:2] + a[2:]) - (b[:2] + b[2:])
    hull = torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])
    distance = twice_offset[0] * twice_offset[0] + twice_offset[1] * twice_offset[1]
    diagonal = 4 * (hull[0] * hull[0] + hull[1] * hull[1])
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
