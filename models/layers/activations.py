"""Every activation of darknet (src/activations.h), by its darknet name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from yoloscope.models.errors import ConfigError

_NORMALISE_EPS = 1e-4


def _linear(x: Tensor) -> Tensor:
    return x


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.1)


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(functional.softplus(x))


def _hard_mish(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, torch.zeros_like(x)))


def _selu(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * (torch.exp(x.clamp(max=0)) - 1))


def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.797885 * x + 0.035677 * x * x * x))


def _relie(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.01)


def _ramp(x: Tensor) -> Tensor:
    return torch.relu(x) + 0.1 * x


def _loggy(x: Tensor) -> Tensor:
    return 2 * torch.sigmoid(x) - 1


def _hardtan(x: Tensor) -> Tensor:
    return x.clamp(-1, 1)


def _lhtan(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def _plse(x: Tensor) -> Tensor:
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def _stair(x: Tensor) -> Tensor:
    whole, half = torch.floor(x), torch.floor(x / 2)
    return torch.where(whole == 2 * half, half, x - whole + half)


def _normalize_channels(x: Tensor) -> Tensor:
    positive = torch.relu(x)
    return positive / (_NORMALISE_EPS + positive.sum(1, keepdim=True))


def _normalize_channels_softmax(x: Tensor) -> Tensor:
    powers = torch.exp(x)
    return powers / (_NORMALISE_EPS + powers.sum(1, keepdim=True))


def _normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    return _normalize_channels_softmax(x - x.amax(1, keepdim=True))


ACTIVATIONS: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "linear": _linear,
        "leaky": _leaky,
        "revleaky": _leaky,
        "mish": _mish,
        "hard_mish": _hard_mish,
        "swish": _swish,
        "logistic": torch.sigmoid,
        "relu": torch.relu,
        "relu6": functional.relu6,
        "elu": functional.elu,
        "selu": _selu,
        "gelu": _gelu,
        "relie": _relie,
        "ramp": _ramp,
        "tanh": torch.tanh,
        "loggy": _loggy,
        "hardtan": _hardtan,
        "lhtan": _lhtan,
        "plse": _plse,
        "stair": _stair,
        "normalize_channels": _normalize_channels,
        "normalize_channels_softmax": _normalize_channels_softmax,
        "normalize_channels_softmax_maxval": _normalize_channels_softmax_maxval,
    }
)


class Activation(nn.Module):
    """The activation of a darknet name, elementwise; the ``normalize_channels`` kinds work over dimension 1.

    relu6 is the real one: darknet's CPU build has no case for it and returns zeros, its CUDA build computes it.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in ACTIVATIONS:
            raise ConfigError(f"expected an activation among {', '.join(ACTIVATIONS)}, got {name!r}")
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated tensor, of the same shape."""
        return ACTIVATIONS[self.name](x)

    def extra_repr(self) -> str:
        """Return the name, for printing."""
        return self.name
