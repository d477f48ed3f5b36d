import pytest
import torch
from torch import Tensor

from yoloscope.models.layers.antialias import Blur
from yoloscope.models.layers.pooling import DepthMaxPool, GlobalAvgPool, LocalAvgPool, MaxPool, pooled_length
from yoloscope.models.layers.spp import Spp


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 1, -1)


def test_size_2_stride_1_pads_right_only() -> None:
    pool = MaxPool(2, 1)
    assert pool(row(-3, -1, -2)).flatten().tolist() == [-1, -1, -2]


def test_even_window_of_4_starts_one_before_the_map() -> None:
    pool = MaxPool(4, 4)
    assert pool(row(1, 2, 3, 9, 4, 5, 6, 7)).flatten().tolist() == [3, 9]


def test_odd_length_at_stride_2_keeps_a_part_of_a_window() -> None:
    assert MaxPool(2, 2)(row(1, 2, 3)).flatten().tolist() == [2, 3]
    assert MaxPool(2, 2, padding=0)(row(1, 2, 3).expand(1, 1, 3, 3)).flatten().tolist() == [2]


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, 0), (2, 2, 1), (3, 1, 2), (3, 2, 0), (5, 1, 4), (6, 3, 5)]
)
def test_matches_the_definition(size: int, stride: int, padding: int) -> None:
    x = torch.randn(1, 2, 11, 8)
    got = MaxPool(size, stride, padding)(x)
    assert got.shape[2:] == tuple(pooled_length(length, size, stride, padding) for length in (11, 8))
    for i in range(got.shape[2]):
        for j in range(got.shape[3]):
            top, left = i * stride - padding // 2, j * stride - padding // 2
            window = x[:, :, max(top, 0) : top + size, max(left, 0) : left + size]
            assert torch.equal(got[:, :, i, j], window.amax((2, 3)))


def test_strides_differ_by_direction() -> None:
    assert MaxPool(2, (1, 2))(torch.zeros(1, 1, 6, 6)).shape == (1, 1, 6, 3)


def test_depth_pool_takes_every_nth_channel_even_if_they_do_not_divide() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, -5.0]).reshape(1, 5, 1, 1)
    assert DepthMaxPool(3)(x).flatten().tolist() == [4.0, 2.0, 3.0]


def test_local_mean_counts_only_cells_of_the_map() -> None:
    assert LocalAvgPool(3, 1)(row(3, 6, 9)).flatten().tolist() == pytest.approx([4.5, 6, 7.5])


def test_global_mean() -> None:
    assert GlobalAvgPool()(torch.arange(8.0).reshape(1, 2, 2, 2)).flatten().tolist() == [1.5, 5.5]


def test_blur_keeps_a_constant_inside_and_loses_it_at_the_border() -> None:
    got = Blur(1, 1)(torch.full((1, 2, 3, 3), 16.0))
    assert got[0, 1].tolist() == [[9, 12, 9], [12, 16, 12], [9, 12, 9]]
    assert Blur(2, 2)(torch.tensor([[1.0, 2], [3, 6]])[None, None]).item() == 3


def test_spp_puts_the_largest_window_first_and_the_map_last() -> None:
    x = torch.randn(1, 2, 20, 20)
    got = Spp()(x)
    assert torch.equal(got[:, :2], MaxPool(13)(x))
    assert torch.equal(got[:, 4:6], MaxPool(5)(x))
    assert torch.equal(got[:, 6:], x)


def test_gradient_reaches_the_maximum_alone() -> None:
    x = row(1, 5, 2).requires_grad_()
    MaxPool(3, 1)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, 3, 0]
