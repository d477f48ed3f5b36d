"""Schedules against their closed forms, darknet's formulas and torch."""

from __future__ import annotations

import math

import pytest
import torch

from yoloscope.models.errors import ConfigError
from yoloscope.training.optim.schedule import CosineRestarts, LinearRamp, StepSchedule, warmup_factor


def test_warmup_by_hand() -> None:
    assert warmup_factor(0, 1000) == 0
    assert warmup_factor(500, 1000) == 1 / 16
    assert warmup_factor(500, 1000, power=1) == 0.5
    assert warmup_factor(1000, 1000) == 1
    assert warmup_factor(0, 0) == 1


def test_steps_of_yolov4_by_hand() -> None:
    schedule = StepSchedule()
    expected = {
        0: 0,
        250: 0.0013 / 256,
        999: 0.0013 * 0.999**4,
        1000: 0.0013,
        399_999: 0.0013,
        400_000: 0.00013,
        449_999: 0.00013,
        450_000: 0.000013,
    }
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-12)


def test_steps_of_yolov1_climb_and_fall() -> None:
    schedule = StepSchedule(0.0005, (200, 400, 600, 20_000, 30_000), (2.5, 2, 2, 0.1, 0.1), warmup_steps=0)
    rates = [schedule(step) for step in (0, 200, 400, 600, 20_000, 30_000)]
    assert rates == pytest.approx([0.0005, 0.00125, 0.0025, 0.005, 0.0005, 0.00005])


def test_steps_inside_the_warmup_do_not_count_yet() -> None:
    assert StepSchedule(1.0, (5,), (0.1,), warmup_steps=10)(6) == 0.6**4


def test_steps_that_coincide_multiply_their_scales() -> None:
    schedule = StepSchedule(1.0, (4, 4), (0.1, 0.5), warmup_steps=0)
    assert [schedule(step) for step in (3, 4)] == pytest.approx([1.0, 0.05])


def test_sgdr_by_hand() -> None:
    """Cycles of 10, 20 and 40 steps: restarts at 10 and 30."""
    schedule = CosineRestarts(1.0, 10, 2, minimum=0.2)
    assert [schedule(step) for step in (0, 10, 30, 70)] == [1.0] * 4
    assert [schedule(step) for step in (5, 20, 50)] == pytest.approx([0.6] * 3)
    assert schedule(29) == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi * 19 / 20)))


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_sgdr_equals_the_closed_form(multiplier: int) -> None:
    """Cycle n starts at T (m^n - 1) / (m - 1), which inverts to n = floor(log_m(step (m - 1) / T + 1))."""
    first = 7
    schedule = CosineRestarts(0.01, first, multiplier, minimum=0.0001)
    for step in range(400):
        if multiplier == 1:
            start, length = step // first * first, first
        else:
            cycle = math.floor(math.log(step * (multiplier - 1) / first + 1, multiplier) + 1e-9)
            start, length = first * (multiplier**cycle - 1) // (multiplier - 1), first * multiplier**cycle
        expected = 0.0001 + 0.5 * (0.01 - 0.0001) * (1 + math.cos(math.pi * (step - start) / length))
        assert schedule(step) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_sgdr_equals_torch(multiplier: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 6, multiplier, eta_min=0.01)
    schedule = CosineRestarts(0.1, 6, multiplier, minimum=0.01)
    for step in range(60):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        reference.step()


def test_sgdr_after_a_warmup_steps() -> None:
    schedule = CosineRestarts(1.0, 100, minimum=0.0, warmup_steps=20)
    assert schedule(10) == 1 / 16
    assert schedule(20) == pytest.approx(0.5 * (1 + math.cos(math.pi / 5)))


def test_dropblock_ramp_by_hand() -> None:
    ramp = LinearRamp(0.1, 1000)
    assert [ramp(step) for step in (0, 250, 1000, 5000)] == pytest.approx([0, 0.025, 0.1, 0.1])


@pytest.mark.parametrize(
    "build",
    [
        lambda: StepSchedule(steps=(1, 2), scales=(0.1,)),
        lambda: StepSchedule(steps=(2, 1)),
        lambda: StepSchedule(rate=0),
        lambda: CosineRestarts(0.1, 0),
        lambda: CosineRestarts(0.1, 10, minimum=0.2),
        lambda: LinearRamp(1.0, 10),
        lambda: LinearRamp(0.1, 0),
    ],
)
def test_impossible_schedules_are_refused(build: type[object]) -> None:
    with pytest.raises(ConfigError):
        build()
