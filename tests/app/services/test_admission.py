"""Admission: images at work at once, the wait that is expected, and the time that a request may wait."""

from threading import Event, Thread

import pytest

from yoloscope.app.services import admission
from yoloscope.app.services.admission import ConcurrencyLimiter, Patience
from yoloscope.models.errors import BusyError


class Clock:
    """Stands in for the time, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(admission, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_gate_counts_images() -> None:
    gate = ConcurrencyLimiter(2)
    with gate.hold(5), pytest.raises(BusyError, match="at most 2 images at work at once, got 5; retry"), gate.hold(1):
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
    assert gate.expected_wait_s == 0


def test_the_wait_is_that_of_the_images_at_work_at_the_rate_of_the_last_ones(clock: Clock) -> None:
    gate = ConcurrencyLimiter(8, patience_s=6)
    with gate.hold(1):
        clock.now += 1
    with gate.hold(2):  # 3 images in 5 s by now: the first counts for .95
        clock.now += 4
    with gate.hold(4):
        assert gate.expected_wait_s == pytest.approx(4 * (0.95 * 1 + 4) / (0.95 * 1 + 2))
        with pytest.raises(BusyError, match="a wait of at most 6 s") as caught:
            gate.check()
        assert caught.value.retry_after_s == 7
    clock.now += 1000
    gate.check()


def test_idle_time_is_no_work_and_work_side_by_side_counts_once(clock: Clock) -> None:
    gate = ConcurrencyLimiter(8)
    for _ in range(50):
        clock.now += 60
        with gate.hold(1):
            clock.now += 1
            with gate.hold(1):
                clock.now += 1
    with gate.hold(4):  # pairs of images in 2 and 0 s, the last one of which counts most
        assert gate.expected_wait_s == pytest.approx(4 * 0.95 * 2 / 1.95)


def test_a_full_gate_says_when_its_images_will_be_done(clock: Clock) -> None:
    gate = ConcurrencyLimiter(4)
    with gate.hold(1):
        clock.now += 50
    with gate.hold(4), pytest.raises(BusyError) as caught:
        gate.check()
    assert caught.value.retry_after_s == 60  # the longest that is said
    fresh = ConcurrencyLimiter(1)
    with fresh.hold(1), pytest.raises(BusyError) as caught:
        fresh.check()
    assert caught.value.retry_after_s == 1


def test_only_waiting_takes_patience_and_that_of_all_calls_together(clock: Clock) -> None:
    patience = Patience(10)
    clock.now += 5
    assert patience.left_s() == 10
    first, second = patience.wait(lambda: None), patience.wait(lambda: None)
    clock.now += 2
    first()
    clock.now += 3
    assert patience.left_s() == 5
    second()
    clock.now += 7
    assert patience.left_s() == 5
    patience.wait(lambda: None)
    clock.now += 1
    patience.drop()
    clock.now += 1
    assert patience.left_s() == 4


def test_no_patience_is_lost_while_a_call_of_the_request_is_at_work(clock: Clock) -> None:
    patience, began, release = Patience(10), Event(), Event()

    def work() -> None:
        began.set()
        release.wait(60)

    thread = Thread(target=patience.wait(work))
    patience.wait(work)
    thread.start()
    began.wait(60)
    clock.now += 8
    assert patience.left_s() == 10
    release.set()
    thread.join()
    clock.now += 1
    assert patience.left_s() == 9
