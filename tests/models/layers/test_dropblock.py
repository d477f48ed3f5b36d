"""DropBlock: squares are dropped, the mean is kept."""

import torch
from torch.nn import functional

from yoloscope.models.layers.dropblock import DropBlock


def test_dropblock_is_identity_outside_training_and_without_probability() -> None:
    x = torch.ones(1, 2, 8, 8)
    assert DropBlock(0.5).eval()(x) is x
    assert DropBlock(0.0).train()(x) is x


def test_dropblock_drops_squares_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 16, 24, 24)
    got = DropBlock(0.1, 3).train()(x)
    dropped = (got == 0).float()
    assert 0.05 < dropped.mean().item() < 0.15
    torch.testing.assert_close(got.mean().item(), 1.0, rtol=1e-5, atol=0)
    eroded = -functional.max_pool2d(-dropped, 3, 1)
    assert torch.equal(functional.max_pool2d(functional.pad(eroded, (2,) * 4), 3, 1), dropped)


def test_dropblock_of_relative_size_covers_a_small_map() -> None:
    torch.manual_seed(0)
    got = DropBlock(0.9, relative_size=1.0).train()(torch.ones(8, 8, 3, 3))
    assert set(got.amax((2, 3)).sub(got.amin((2, 3))).flatten().tolist()) == {0.0}
