"""Probabilities over a hierarchy of classes (YOLO9000 section 4; darknet src/tree.c)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.spec import ClassTree


def tree_probabilities(logits: Tensor, tree: ClassTree) -> Tensor:
    """Return the absolute probability of every node of logits [B, A, C, cells], in the same shape.

    A softmax within each group of siblings gives the probability given the parent; the product along the path to the
    root is absolute. The product is taken by pointer doubling, so that it needs log2(depth) steps.
    """
    groups = torch.arange(len(tree.group_sizes)).repeat_interleave(torch.tensor(tree.group_sizes)).to(logits.device)
    absolute = _grouped_softmax(logits, groups, len(tree.group_sizes))
    absolute = torch.cat((absolute, torch.ones_like(absolute[:, :, :1])), 2)
    root = len(tree.parents)
    ancestors = [parent if parent >= 0 else root for parent in tree.parents] + [root]
    while any(ancestor != root for ancestor in ancestors):
        absolute = absolute * absolute[:, :, ancestors]
        ancestors = [ancestors[ancestor] for ancestor in ancestors]
    return absolute[:, :, :root]


def deepest_likely(absolute: Tensor, tree: ClassTree) -> Tensor:
    """Return the probabilities [B, A, C, cells] of the deepest nodes above one half; 0 everywhere else.

    Such nodes form a single path, since siblings share the probability of their parent.
    """
    likely = absolute > 0.5
    depth = torch.tensor(_depths(tree), device=absolute.device)[:, None]
    deepest = torch.where(likely, depth, -1).amax(2, keepdim=True)
    return torch.where(likely & (depth == deepest), absolute, torch.zeros_like(absolute))


def _depths(tree: ClassTree) -> list[int]:
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    return depths


def _grouped_softmax(logits: Tensor, groups: Tensor, num_groups: int) -> Tensor:
    """Return the softmax over dimension 2 within runs of equal group number."""
    index = groups[None, None, :, None].expand_as(logits)
    shape = (logits.shape[0], logits.shape[1], num_groups, logits.shape[3])
    highest = logits.new_full(shape, -math.inf).scatter_reduce(2, index, logits, "amax")
    powers = (logits - highest[:, :, groups]).exp()
    totals = logits.new_zeros(shape).scatter_add(2, index, powers)
    return powers / totals[:, :, groups]
