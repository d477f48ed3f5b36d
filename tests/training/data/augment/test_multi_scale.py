"""Random training shapes: range, constancy within a period, agreement of ranks and resumed runs."""

from __future__ import annotations

import pytest

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.augment.multi_scale import TrainingShapes


def test_sizes_by_hand() -> None:
    """416 = 13 columns; 13 / 1.4 = 9.3, 13 * 1.4 = 18.2: 9..18 columns, 288..576 px."""
    assert TrainingShapes(416, 416).sizes == tuple((n * 32, n * 32) for n in range(9, 19))
    assert TrainingShapes(64, 32, 2).sizes == ((32, 32), (64, 32), (96, 64), (128, 64))


def test_factor_one_never_changes_the_size() -> None:
    shapes = TrainingShapes(320, 256, 1.0)
    assert {shapes.size_at(step) for step in range(100)} == {(320, 256)}


def test_the_size_holds_for_a_period_and_takes_every_value() -> None:
    shapes = TrainingShapes(416, 416, every=10, seed=3)
    sizes = [shapes.size_at(step) for step in range(2000)]
    assert all(len(set(sizes[start : start + 10])) == 1 for start in range(0, 2000, 10))
    assert set(sizes) == set(shapes.sizes)


def test_ranks_and_resumed_runs_agree_and_seeds_differ() -> None:
    one, other = TrainingShapes(416, 416, seed=1), TrainingShapes(416, 416, seed=1)
    for step in (0, 9, 10):
        one.size_at(step)
    assert [one.size_at(s) for s in range(500, 900)] == [other.size_at(s) for s in range(500, 900)]
    assert [TrainingShapes(416, 416, seed=2).size_at(s) for s in range(900)] != [one.size_at(s) for s in range(900)]


@pytest.mark.parametrize("options", [(400, 416), (0, 0), (416, 416, 0.9), (416, 416, 1.4, 0)])
def test_impossible_options_are_refused(options: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError):
        TrainingShapes(*options)
