"""The early pull of YOLOv2: every predictor is drawn to its cell's center and its anchor's size.

What objectness and class entries cost, predictor by predictor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from yoloscope.training.assignment.matches import HeadMatches
from yoloscope.training.losses.heads import box_entries
from yoloscope.training.losses.presets.base import Preset


def objectness_terms(raw: Tensor, target: Tensor, preset: Preset) -> Tensor:
    """Return the cost, of the shape of ``raw``, of objectness entries against a target in 0..1."""
    if preset.objectness_loss == "mse":
        predicted = torch.sigmoid(raw) if preset.confidence == "sigmoid" else raw
        return (predicted - target).square()
    if preset.objectness_loss == "focal":
        return focal_bce(raw, target, preset.focal_gamma, preset.focal_alpha)
    return functional.binary_cross_entropy_with_logits(raw, target, reduction="none")


def background_terms(raw: Tensor, preset: Preset) -> Tensor:
    """Return the cost, of the shape of ``raw``, of objectness entries that should be 0."""
    if preset.objectness_loss == "bce":
        return functional.softplus(raw)
    return objectness_terms(raw, torch.zeros_like(raw), preset)


def class_terms(raw: Tensor, targets: Tensor, preset: Preset) -> Tensor:
    """Return the cost [P], summed over classes, of class entries [P, C] against one- or multi-hot ``targets``."""
    eps = preset.label_smoothing
    if preset.class_loss == "ce":
        wanted = targets / targets.sum(-1, keepdim=True).clamp_min(1)
        wanted = wanted * (1 - eps) + eps / targets.shape[-1]
        costs = -wanted * functional.log_softmax(raw, dim=-1)
    else:
        wanted = targets * (1 - eps) + 0.5 * eps
        costs = _independent_class_costs(raw, wanted, preset)
    if preset.class_weights is not None:
        costs = costs * raw.new_tensor(preset.class_weights)
    return costs.sum(-1)


def focal_bce(raw: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return binary cross-entropy on logits, scaled by alpha and (1 - p_t)^gamma (Lin et al., Focal Loss, 2017)."""
    cost = functional.binary_cross_entropy_with_logits(raw, target, reduction="none")
    p = torch.sigmoid(raw)
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return cost * alpha_t * (1 - p_t).clamp_min(1e-12).pow(gamma)


def _independent_class_costs(raw: Tensor, wanted: Tensor, preset: Preset) -> Tensor:
    if preset.class_loss == "bce":
        return functional.binary_cross_entropy_with_logits(raw, wanted, reduction="none")
    if preset.class_loss == "focal":
        return focal_bce(raw, wanted, preset.focal_gamma, preset.focal_alpha)
    if preset.class_activation == "softmax":
        predicted = functional.softmax(raw, dim=-1)
    else:
        predicted = torch.sigmoid(raw) if preset.class_activation == "sigmoid" else raw
    return (predicted - wanted).square()


def prior_terms(head: Tensor, matches: HeadMatches, preset: Preset) -> Tensor:
    """Return the raw prior cost [B, A, h, w], 0 at predictors that serve an object; anchor-based heads only.

    Half the squared error of the cell offset from 1/2 and of the raw extents from 0, so that under ``exp`` decoding the
    gradient is darknet's (src/region_layer.c, delta_region_box with the anchor as truth).
    """
    entries = box_entries(head, matches.geometry)
    scale = matches.geometry.spec.scale_xy if preset.decode_xy == "scaled" else 1.0
    offset = torch.sigmoid(entries[:, :, :2]) * scale - (scale - 1) / 2
    costs = ((offset - 0.5).square().sum(2) + entries[:, :, 2:].square().sum(2)) / 2
    served = torch.zeros(matches.geometry.shape, dtype=torch.bool, device=head.device)
    served.view(-1)[matches.predictors] = True
    return costs.masked_fill(served, 0)
