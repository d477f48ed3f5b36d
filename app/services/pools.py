"""Bounded work off the event loop: threads of our own, and a gate that refuses instead of queueing for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from models.errors import BusyError

P = ParamSpec("P")
T = TypeVar("T")


class WorkPool:
    """Threads that take blocking work from the event loop."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one call in a thread of the pool and return its result."""
        future = self._executor.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop what has not started and wait for what has."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Gate:
    """Counts the pictures at work and refuses more than ``limit``; used from the event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @property
    def held(self) -> int:
        """Pictures at work now."""
        return self._held

    def check(self) -> None:
        """Raise BusyError if nothing more is taken; cheap enough to ask before a body is read."""
        if self._held >= self._limit:
            raise BusyError(f"expected at most {self._limit} pictures at work at once, got {self._held}; retry later")

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Count ``count`` pictures as at work; raise BusyError if they do not fit beside others.

        One request alone is always taken, so that a limit below ``max_images`` cannot lock it out.
        """
        if self._held and self._held + count > self._limit:
            raise BusyError(
                f"expected at most {self._limit} pictures at work at once, got {self._held} and {count} more; retry"
            )
        self._held += count
        try:
            yield
        finally:
            self._held -= count
