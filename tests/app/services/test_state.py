"""Images at work at once, and the threads that work on them."""

import asyncio

import pytest

from yoloscope.app.services.state import ConcurrencyLimiter, ThreadPool
from yoloscope.models.errors import BusyError


def test_the_gate_counts_images() -> None:
    gate = ConcurrencyLimiter(2)
    with gate.hold(5), pytest.raises(BusyError, match="got 5 and 1 more"), gate.hold(1):
        pass
    gate.check()
    with gate.hold(1), gate.hold(1):
        assert gate.held == 2
        with pytest.raises(BusyError):
            gate.check()
    assert gate.held == 0


def test_the_gate_forgets_failed_work() -> None:
    gate = ConcurrencyLimiter(2)
    with pytest.raises(ZeroDivisionError), gate.hold(2):
        raise ZeroDivisionError
    assert gate.held == 0


def test_a_pool_gives_results_and_errors() -> None:
    async def scenario() -> int:
        pool = ThreadPool("test", 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        result = await pool.run(pow, 2, 5)
        pool.close()
        return result

    assert asyncio.run(scenario()) == 32
