"""Batching without a server: what goes together, whose turn it is, and what is dropped."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from threading import Barrier, Event
from typing import Any

import pytest

from yoloscope.app.services.batcher import Batcher, BatchResults
from yoloscope.models.errors import DeadlineError

SIZES = (1, 2, 4)


class Device:
    """A batcher whose device squares numbers, notes its batches and is held up until it is let go."""

    def __init__(self, patience_s: float | None = None) -> None:
        self.batcher = Batcher("test", lambda: patience_s)
        self.batches: list[list[int]] = []
        self.free = Event()
        self._held: asyncio.Task[bool] | None = None

    def square(self, batch: list[int]) -> Sequence[int]:
        self.batches.append(batch)
        if min(batch) < 0:
            raise ValueError(f"expected no negative numbers, got {batch}")
        return [number**2 for number in batch]

    def ask(
        self, *numbers: int, key: str = "squares", sizes: tuple[int, ...] = SIZES
    ) -> Coroutine[Any, Any, BatchResults]:
        return self.batcher.map(self.square, numbers, key, sizes)

    async def hold(self) -> None:
        self._held = asyncio.create_task(self.batcher.run(self.free.wait, 10))
        while not self.batcher.busy:
            await asyncio.sleep(0.001)

    async def waiting(self, count: int) -> None:
        while self.batcher.waiting != count:
            await asyncio.sleep(0.001)


def play(scenario: Callable[[Device], Coroutine[Any, Any, None]], patience_s: float | None = None) -> Device:
    device = Device(patience_s)

    async def played() -> None:
        try:
            await scenario(device)
        finally:
            device.free.set()
            device.batcher.close()

    asyncio.run(asyncio.wait_for(played(), 10))
    return device


def test_a_free_device_takes_what_is_there() -> None:
    async def scenario(device: Device) -> None:
        assert (await device.ask(3)).results == [9]
        assert (await device.ask()).results == []

    assert play(scenario).batches == [[3]]


def test_images_of_several_requests_go_together_in_sizes_that_are_warm() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        asked = [asyncio.create_task(device.ask(n)) for n in range(7)]
        await device.waiting(7)
        device.free.set()
        answers = await asyncio.gather(*asked)
        assert [answer.results for answer in answers] == [[n**2] for n in range(7)]

    assert play(scenario).batches == [[0, 1, 2, 3], [4, 5], [6]]


def test_requests_take_turns_image_by_image() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        long = asyncio.create_task(device.ask(1, 2, 3, 4))
        await device.waiting(4)
        short, other = (asyncio.create_task(device.ask(n, key=key)) for n, key in ((10, "squares"), (20, "other")))
        await device.waiting(6)
        device.free.set()
        assert [item.results for item in await asyncio.gather(long, short, other)] == [[1, 4, 9, 16], [100], [400]]

    assert play(scenario).batches == [[1, 10, 2, 3], [20], [4]]


def test_a_batch_of_one_takes_turns_too() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        asked = [asyncio.create_task(device.ask(*numbers, sizes=(1,))) for numbers in ((1, 2, 3), (10, 20))]
        await device.waiting(5)
        device.free.set()
        await asyncio.gather(*asked)

    assert play(scenario).batches == [[1], [10], [2], [20], [3]]


@pytest.mark.parametrize("at_once", [2, 4])
def test_batches_that_take_a_part_of_the_device_run_at_once_and_nothing_beside_a_whole_one(at_once: int) -> None:
    async def scenario(device: Device) -> None:
        together = Barrier(at_once)

        def meet(batch: list[int]) -> Sequence[int]:
            together.wait(10)
            return device.square(batch)

        await device.batcher.map(meet, [1, 2, 3, 4], key="parts", at_once=at_once)
        await device.hold()
        parts = asyncio.create_task(device.batcher.map(meet, [5, 6, 7, 8], key="part", at_once=at_once))
        await device.waiting(4)
        await asyncio.sleep(0.02)
        assert sorted(device.batches) == [[1], [2], [3], [4]]
        device.free.set()
        assert (await parts).results == [25, 36, 49, 64]

    play(scenario)


def test_a_bad_image_fails_its_own_request_alone() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        asked = [asyncio.create_task(device.ask(*numbers)) for numbers in ((1,), (-2, 5), (3,), (4,))]
        await device.waiting(5)
        device.free.set()
        good, bad, *others = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(bad, ValueError)
        assert [item.results for item in (good, *others) if isinstance(item, BatchResults)] == [[1], [9], [16]]

    assert play(scenario).batches == [[1, -2, 3, 4], [1, -2], [1], [-2], [3, 4]]


def test_what_waits_is_dropped_with_its_request() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        gone, kept = asyncio.create_task(device.ask(1, 2)), asyncio.create_task(device.ask(3))
        await device.waiting(3)
        gone.cancel()
        await device.waiting(1)
        device.free.set()
        assert (await kept).results == [9]
        assert gone.cancelled()

    assert play(scenario).batches == [[3]]


def test_a_deadline_drops_what_waits() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        with pytest.raises(DeadlineError, match=r"within 0\.05 s"):
            await device.ask(1)
        assert device.batcher.waiting == 0
        device.free.set()

    assert play(scenario, patience_s=0.05).batches == []


def test_the_deadline_of_a_long_request_counts_from_its_last_image() -> None:
    async def scenario(device: Device) -> None:
        await asyncio.gather(*(device.batcher.map(lambda _: [Event().wait(0.06)], "abcd", key=name) for name in "xy"))

    play(scenario, patience_s=0.2)


def test_a_function_that_loses_an_image_is_an_error() -> None:
    async def scenario(device: Device) -> None:
        with pytest.raises(ValueError, match="zip"):
            await device.batcher.map(lambda _: [], [1], key="lost")

    play(scenario)


def test_closing_ends_those_who_wait() -> None:
    async def scenario(device: Device) -> None:
        await device.hold()
        waiting = asyncio.create_task(device.ask(1))
        await device.waiting(1)
        device.batcher.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert play(scenario).batches == []


def test_a_batch_hangs_that_takes_far_longer_than_those_before() -> None:
    async def scenario(device: Device) -> None:
        def wait(batch: list[int]) -> list[bool]:
            return [device.free.wait(10) for _ in batch]

        async def hangs(after_s: float) -> tuple[bool, bool]:
            """Whether a batch hangs that has run for so long, by a short and by a long timeout; then it ends."""
            device.free.clear()
            held = asyncio.create_task(device.batcher.map(wait, [1], "held"))
            await asyncio.sleep(after_s)
            found = device.batcher.hangs(0.01), device.batcher.hangs(60)
            device.free.set()
            await held
            while device.batcher.hangs(0.01):
                await asyncio.sleep(0.001)
            return found

        assert await hangs(0.02) == (False, False), "of the first one nobody knows how long it takes"
        assert await hangs(0.1) == (False, False), "less than ten times the one before"
        assert await hangs(1.5) == (True, False)

    play(scenario)


def test_a_call_may_take_as_long_as_it_likes() -> None:
    async def scenario(device: Device) -> None:
        await device.ask(3)
        await device.hold()
        await asyncio.sleep(0.1)
        assert not device.batcher.hangs(0.01)

    play(scenario)
