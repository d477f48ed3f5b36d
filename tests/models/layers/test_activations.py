import math

import pytest
import torch

from yoloscope.models.errors import ConfigError
from yoloscope.models.layers.activations import ACTIVATIONS, Activation

LOGISTIC_1 = 1 / (1 + math.exp(-1))
EXPECTED = {
    "linear": {-3.0: -3.0, 0.0: 0.0, 2.0: 2.0},
    "leaky": {-3.0: -0.3, 0.0: 0.0, 2.0: 2.0},
    "revleaky": {-3.0: -0.3, 2.0: 2.0},
    "mish": {0.0: 0.0, 1.0: math.tanh(math.log(1 + math.e)), 30.0: 30.0, -30.0: -30 * math.exp(-30)},
    "hard_mish": {-3.0: 0.0, -2.0: 0.0, -1.0: -0.5, 0.0: 0.0, 2.0: 2.0},
    "swish": {0.0: 0.0, 1.0: LOGISTIC_1, -1.0: LOGISTIC_1 - 1},
    "logistic": {0.0: 0.5, 1.0: LOGISTIC_1},
    "relu": {-1.0: 0.0, 2.0: 2.0},
    "relu6": {-1.0: 0.0, 2.0: 2.0, 7.0: 6.0},
    "elu": {-1.0: math.exp(-1) - 1, 2.0: 2.0},
    "selu": {-1.0: 1.0507 * 1.6732 * (math.exp(-1) - 1), 2.0: 2.1014, 200.0: 210.14},
    "gelu": {0.0: 0.0, 1.0: 0.5 * (1 + math.tanh(0.833562))},
    "relie": {-1.0: -0.01, 2.0: 2.0},
    "ramp": {-1.0: -0.1, 2.0: 2.2},
    "tanh": {1.0: math.tanh(1)},
    "loggy": {0.0: 0.0, 1.0: 2 * LOGISTIC_1 - 1},
    "hardtan": {-2.0: -1.0, 0.5: 0.5, 2.0: 1.0},
    "lhtan": {-2.0: -0.002, 0.5: 0.5, 3.0: 1.002},
    "plse": {-6.0: -0.02, 0.0: 0.5, 2.0: 0.75, 6.0: 1.02},
    "stair": {0.5: 0.0, 1.25: 0.25, 2.5: 1.0, -0.5: -0.5, -1.5: -1.0},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_those_of_darknet(name: str) -> None:
    points = EXPECTED[name]
    got = Activation(name)(torch.tensor(list(points)))
    torch.testing.assert_close(got, torch.tensor(list(points.values())), rtol=1e-6, atol=1e-7)


def test_every_activation_is_covered() -> None:
    over_channels = {name for name in ACTIVATIONS if name.startswith("normalize_channels")}
    assert set(ACTIVATIONS) == set(EXPECTED) | over_channels


def test_normalize_channels_divides_by_the_sum_over_channels() -> None:
    x = torch.tensor([1.0, 3.0, -5.0]).reshape(1, 3, 1, 1)
    got = Activation("normalize_channels")(x).flatten()
    torch.testing.assert_close(got, torch.tensor([1.0, 3.0, 0.0]) / 4.0001)


def test_normalize_channels_softmax_has_the_constant_in_its_denominator() -> None:
    x = torch.zeros(1, 4, 2, 2)
    torch.testing.assert_close(Activation("normalize_channels_softmax")(x), torch.full_like(x, 1 / 4.0001))
    large = x + 200
    torch.testing.assert_close(Activation("normalize_channels_softmax_maxval")(large), torch.full_like(x, 1 / 4.0001))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_finite(name: str) -> None:
    x = torch.linspace(-60, 60, 242).reshape(1, 2, 11, 11).requires_grad_()
    Activation(name)(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="'leeky'"):
        Activation("leeky")
