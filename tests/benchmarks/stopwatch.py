"""How long named functions take, while a program runs that knows nothing of it."""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Adds up the wall time of each part of a lap, and remembers the laps."""

    def __init__(self) -> None:
        self._running: dict[str, float] = defaultdict(float)
        self._laps: list[dict[str, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside towards a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count time towards a part."""
        self._running[name] += seconds

    def watch(self, owner: Any, function: str, name: str) -> Callable[[], None]:
        """Count every call of a function or method towards a part, until what is returned is called."""
        original = getattr(owner, function)

        @functools.wraps(original)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return original(*arguments, **options)

        setattr(owner, function, timed)
        return functools.partial(setattr, owner, function, original)

    def lap(self, *, counted: bool) -> None:
        """End a lap."""
        if counted:
            self._laps.append(dict(self._running))
        self._running.clear()

    def median(self, name: str) -> float:
        """Return the seconds of a part in the median lap."""
        return statistics.median(lap.get(name, 0.0) for lap in self._laps) if self._laps else 0.0
