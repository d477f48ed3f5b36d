"""Self-adversarial training: the network first alters the image against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from yoloscope.models.errors import ConfigError


def self_adversarial(
    images: Tensor, loss: Callable[[Tensor], Tensor], network: nn.Module, epsilon: float = 2 / 255
) -> Tensor:
    """Return images [B, 3, H, W] in 0..1, each value moved by at most ``epsilon`` to where the loss grows.

    One step of the sign of d loss / d images, kept in 0..1; a value without (finite) gradient stays. ``loss`` maps
    images to a scalar through ``network``. During the step the network is frozen and in evaluation mode: no
    ``.grad``, running statistic or accumulated statistic changes, and every module is in its former mode afterwards.
    For the paper's deception that no object is there, pass the negated loss against an empty ground truth.

    Source: Bochkovskiy et al., YOLOv4, 2020, section 3.3; Goodfellow et al., Explaining and Harnessing Adversarial
    Examples, 2015, section 4 (the sign step).
    """
    if epsilon < 0:
        raise ConfigError(f"expected epsilon >= 0, got {epsilon}")
    if epsilon == 0:
        return images.detach()
    with _frozen(network), torch.enable_grad():
        attacked = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(attacked), attacked)
    direction = gradient.nan_to_num(0.0, 0.0, 0.0).sign()
    moved = (images.detach() + epsilon * direction).clamp(0, 1)
    return torch.where(direction == 0, images.detach(), moved)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Hold weights and statistics still; restore every flag afterwards, also after an error."""
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval().requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
