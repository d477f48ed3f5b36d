"""Cross mini-Batch Normalization: batch statistics over the mini-batches of one optimizer batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class CrossMiniBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization that accumulates its statistics until ``finish_batch``.

    The k-th mini-batch [B, C, H, W] is normalized by mean and variance over all values of mini-batches 1..k since the
    last ``finish_batch``; gradients flow through the k-th alone, the earlier ones are constants. Weights stand still
    inside an optimizer batch, so nothing needs compensating. ``finish_batch`` moves the running statistics once, by
    those of the whole batch. With one mini-batch per batch, and outside training, this is ``BatchNorm2d``.

    Source: Bochkovskiy et al., YOLOv4, 2020, figure 4; the merging of variances is Chan et al., 1979, equation 2.1.
    """

    _count: int = 0
    _mean: Tensor | None = None
    _squares: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base class
        """Return the normalized map, in the type of the input."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        mean, variance = self._merge(input.float())
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        return (input * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    def _merge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance [C] over the accumulated values and ``x``, and accumulate ``x``."""
        count = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        squares = variance * count
        if self._mean is not None and self._squares is not None:
            offset, total = mean - self._mean, self._count + count
            squares = squares + self._squares + offset.square() * (self._count * count / total)
            mean = self._mean + offset * (count / total)
            count = total
        self._count, self._mean, self._squares = count, mean.detach(), squares.detach()
        return mean, squares / count

    @torch.no_grad()
    def finish_batch(self) -> None:
        """Move the running statistics by those of the batch and forget them; nothing happens without a batch."""
        if self._mean is None or self._squares is None:
            return
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            gain = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(self._mean, gain)
            self.running_var.lerp_(self._squares / max(self._count - 1, 1), gain)
        self.forget()

    def forget(self) -> None:
        """Drop what has been accumulated."""
        self._count, self._mean, self._squares = 0, None, None


def with_cross_mini_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy of the network in which every ``BatchNorm2d`` accumulates; names of weights stay as they are."""
    converted = copy.deepcopy(network)
    if type(converted) is nn.BatchNorm2d:
        return _converted(converted)
    replacements: dict[nn.Module, CrossMiniBatchNorm2d] = {}
    for module in list(converted.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                replacement = replacements.setdefault(child, _converted(child))
                setattr(module, name, replacement)
    return converted


def finish_batch(network: nn.Module) -> None:
    """Close the optimizer batch in every accumulating layer; to be called after every optimizer step."""
    for module in network.modules():
        if isinstance(module, CrossMiniBatchNorm2d):
            module.finish_batch()


def _converted(norm: nn.BatchNorm2d) -> CrossMiniBatchNorm2d:
    """Return an accumulating layer that takes over the very tensors of a plain one."""
    crossing = CrossMiniBatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        setattr(crossing, name, tensor)
    return crossing.train(norm.training)
