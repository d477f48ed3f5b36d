import pytest
import torch

from yoloscope.models.errors import ConfigError
from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.crop import CenterCrop
from yoloscope.models.layers.space_to_depth import DepthToSpace, PassthroughReorder, SpaceToDepth
from yoloscope.models.layers.upsample import SumDownsample, Upsample


def test_passthrough_reorder_reads_memory_as_darknet_does() -> None:
    channels, height, width, s = 8, 4, 6, 2
    x = torch.arange(channels * height * width, dtype=torch.float32)
    got = PassthroughReorder(s)(x.reshape(1, channels, height, width)).flatten()
    expected = torch.empty_like(x)
    fewer = channels // s**2
    position = 0
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                phase, q = divmod(k, fewer)
                dy, dx = divmod(phase, s)
                expected[position] = x[i * s + dx + width * s * (j * s + dy + height * s * q)]
                position += 1
    assert torch.equal(got, expected)


def test_passthrough_reorder_is_not_space_to_depth() -> None:
    x = torch.randn(1, 8, 4, 4)
    assert PassthroughReorder()(x).shape == SpaceToDepth()(x).shape == (1, 32, 2, 2)
    assert not torch.equal(PassthroughReorder()(x), SpaceToDepth()(x))


def test_space_to_depth_has_the_phase_as_slow_index() -> None:
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert SpaceToDepth()(x).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_depth_to_space_undoes_space_to_depth() -> None:
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(DepthToSpace()(SpaceToDepth()(x)), x)


def test_upsample_repeats_and_scales() -> None:
    x = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2)
    assert Upsample(2, 0.5)(x).tolist() == [[[[0.5, 0.5, 1, 1], [0.5, 0.5, 1, 1]]]]


def test_negative_upsampling_sums_blocks() -> None:
    assert SumDownsample(2, 0.5)(torch.arange(4.0).reshape(1, 1, 2, 2)).item() == 3


def test_crop_takes_the_center_and_shifts_to_minus_one() -> None:
    x = torch.arange(5.0).reshape(1, 1, 1, 5)
    assert CenterCrop(1, 2)(x).flatten().tolist() == [1, 3]
    assert CenterCrop(1, 3, adjust=False)(x).flatten().tolist() == [1, 2, 3]


def test_activation_prints_its_name() -> None:
    assert repr(Activation("mish")) == "Activation(mish)"
    with pytest.raises(ConfigError):
        Activation("")
