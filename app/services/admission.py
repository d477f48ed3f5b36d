"""Admission: how many images may be at work at once, how long the next would wait, and how long a request may."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Final, ParamSpec, TypeVar

from yoloscope.models.errors import BusyError

_FORGETTING: Final = 0.95
"""Weight of the requests of before at each one that is done: the last twenty or so say how fast the service is."""
_LONGEST_RETRY_S: Final = 60

P = ParamSpec("P")
T = TypeVar("T")


class ConcurrencyLimiter:
    """Counts the images at work and refuses more than ``limit``; used from the event loop alone.

    What would wait for more than ``patience_s``, as fast as the last requests were done, is refused too: it would be
    over its deadline. Every refusal says when the images at work will be done.
    """

    def __init__(self, limit: int, patience_s: float = math.inf) -> None:
        self._limit = limit
        self._patience_s = patience_s
        self._held = 0
        self._seconds = 0.0
        self._images = 0.0
        self._since = 0.0

    @property
    def held(self) -> int:
        """Images at work now."""
        return self._held

    @property
    def expected_wait_s(self) -> float:
        """Seconds until the images at work are done, by the rate at which the last ones were; 0 if none ever was."""
        return self._held * self._seconds / self._images if self._images else 0.0

    def check(self) -> None:
        """Raise BusyError if nothing more is taken; cheap enough to ask before a body is read."""
        refusal = self.refusal()
        if refusal is not None:
            raise refusal

    def refusal(self, count: int = 1) -> BusyError | None:
        """Return why ``count`` more images are not taken, None if they are.

        One request alone is always taken, so that a limit below ``max_images`` cannot lock it out.
        """
        if not self._held:
            return None
        if self._held + count > self._limit:
            beside = "" if count == 1 else f" and {count} more"
            words = f"expected at most {self._limit} images at work at once, got {self._held}{beside}; retry later"
        elif self.expected_wait_s > self._patience_s:
            words = f"expected a wait of at most {self._patience_s:g} s, got images at work for longer; retry later"
        else:
            return None
        return BusyError(words, min(max(1, math.ceil(self.expected_wait_s)), _LONGEST_RETRY_S))

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Count ``count`` images as at work; raise BusyError if they do not fit beside others."""
        refusal = self.refusal(count)
        if refusal is not None:
            raise refusal
        if not self._held:
            self._since = monotonic()
        self._held += count
        try:
            yield
            self._learn(count)
        finally:
            self._held -= count
            self._since = monotonic()

    def _learn(self, count: int) -> None:
        """Take in that a request is done: it cost what has passed since the end of the one before, or of idleness."""
        self._seconds = _FORGETTING * self._seconds + monotonic() - self._since
        self._images = _FORGETTING * self._images + count


class Patience:
    """The seconds that one request may wait for threads, all its calls together; its own work does not count.

    Time passes while a call waits and none of the request is at work. Calls begin and end in threads.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left_s = seconds
        self._waiting = 0
        self._at_work = 0
        self._since = monotonic()
        self._lock = Lock()

    def left_s(self) -> float:
        """Return the seconds that are left."""
        with self._lock:
            self._count(0, 0)
            return self._left_s

    def spend(self, seconds: float) -> None:
        """Take away the seconds that a call waited which nobody else counts."""
        with self._lock:
            self._left_s -= max(0.0, seconds)

    def wait(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a call that counts as waiting from now on, and as at work while it runs."""
        with self._lock:
            self._count(1, 0)

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._lock:
                self._count(-1, 1)
            try:
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self._count(0, -1)

        return call

    def drop(self) -> None:
        """Forget a call that waits: it was canceled before it began."""
        with self._lock:
            self._count(-1, 0)

    def _count(self, waiting: int, at_work: int) -> None:
        now = monotonic()
        if self._waiting and not self._at_work:
            self._left_s -= now - self._since
        self._since = now
        self._waiting += waiting
        self._at_work += at_work
