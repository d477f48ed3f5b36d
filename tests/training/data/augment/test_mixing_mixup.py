"""MixUp by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.data.augment.scenes import flat, random_sample, same
from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.mixing import MixUp, mixup


def test_pixels_and_weights_by_hand() -> None:
    first, second = flat(4, 4, 100, [[0, 0, 2, 2]], [1]), flat(4, 4, 200, [[1, 1, 4, 4], [0, 0, 1, 1]], [2, 3])
    got = mixup(first, second, 0.7)
    assert (got.image == 130).all()
    assert got.class_ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(got.weights, [0.7, 0.3, 0.3], rtol=1e-6)
    assert got.boxes_xyxy_px.tolist() == [[0, 0, 2, 2], [1, 1, 4, 4], [0, 0, 1, 1]]


def test_images_of_different_size_share_a_canvas() -> None:
    got = mixup(flat(4, 2, 100), flat(2, 6, 200), 0.5, fill=0)
    assert got.image.shape == (6, 4, 3)
    assert got.image[..., 0].tolist()[:2] == [[150, 150, 50, 50]] * 2
    assert got.image[..., 0].tolist()[2:] == [[100, 100, 0, 0]] * 4


def test_weights_multiply_over_two_rounds() -> None:
    once = mixup(flat(4, 4, 0, [[0, 0, 1, 1]], [0]), flat(4, 4, 0), 0.5)
    assert mixup(once, flat(4, 4, 0), 0.5).weights.tolist() == [0.25]


@pytest.mark.parametrize(("share", "winner"), [(1.0, 0), (0.0, 1)])
def test_the_ends_give_one_image_whole(share: float, winner: int) -> None:
    pair = random_sample(1, 9, 9, 3), random_sample(2, 9, 9, 2)
    assert same(mixup(*pair, share), pair[winner])


def test_alpha_zero_is_the_identity_and_alpha_draws_the_beta_distribution() -> None:
    first, second = flat(1, 1, 0, [[0, 0, 1, 1]], [0]), flat(1, 1, 0)
    assert same(MixUp(0)(first, second, np.random.default_rng(0)), first)
    generator = np.random.default_rng(1)
    shares = [float(MixUp(1.5)(first, second, generator).weights[0]) for _ in range(3000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 1.5 + 1)), abs=0.004)


def test_a_negative_alpha_is_refused() -> None:
    with pytest.raises(ConfigError, match="got -1"):
        MixUp(-1)
