"""Batching across requests: the owner of a device runs the network over the images of all of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, ParamSpec, TypeVar, cast

from yoloscope.models.cpu import give_way
from yoloscope.models.errors import DeadlineError

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")
_PARTS: Final = 4
_TIMES_THE_LONGEST: Final = 10
"""After which a batch hangs: so a slow machine, whose batches take a minute, is not taken for one that hangs."""


@dataclass(frozen=True)
class BatchResults:
    """Results of one request in order, the seconds of the batches that its images were in, and those it waited.

    It waits while none of its images is at work. Where two of them are at once, both count as ``ran_s``.
    """

    results: list[Any]
    ran_s: float
    waited_s: float


@dataclass(eq=False)
class _Request:
    """The images of one request: those that wait, with their positions, and the results of those that are done.

    ``done`` belongs to the event loop of the request; ``settle`` may be called from any thread.
    """

    key: Hashable
    function: Callable[[list[Any]], Sequence[Any]]
    sizes: tuple[int, ...]
    parts: int
    waiting: deque[tuple[int, Any]]
    results: list[Any]
    watched: bool
    done: asyncio.Future[BatchResults] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    left: int = 0
    at_work: int = 0
    ran_s: float = 0.0
    waited_s: float = 0.0
    waits_since: float = field(default_factory=time.monotonic)
    watch: asyncio.TimerHandle | None = None

    def settle(self, outcome: BatchResults | BaseException) -> None:
        """Give the request its results or its error, unless it has one of them."""
        with suppress(RuntimeError):  # its loop was closed
            self.done.get_loop().call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: BatchResults | BaseException) -> None:
        if self.done.done():
            return
        if isinstance(outcome, asyncio.CancelledError):
            self.done.cancel()
        elif isinstance(outcome, BaseException):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


class Batcher:
    """The owner of a device: it takes images from the requests in turns, in batches of equal work.

    Nothing waits for a batch to fill: a free device takes what is there. Requests take turns image by image, so that a
    long one does not hold up others; images of several requests with equal keys go together. A batch has the device to
    itself, or some of it: a CPU, whose cores one run does not keep busy. Admission (``Services.admit``) bounds how many
    images wait. ``patience`` returns how many seconds the images of the calling request may wait without any of them
    being taken, None: for ever; ``waited`` is told how long a request did.
    """

    def __init__(
        self,
        name: str,
        patience: Callable[[], float | None] = lambda: None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._executor = ThreadPoolExecutor(_PARTS, thread_name_prefix=name, initializer=give_way)
        self._patience = patience
        self._waited = waited
        self._lock = Lock()
        self._requests: deque[_Request] = deque()
        self._taken_parts = 0
        self._watched_since: dict[int, float] = {}
        self._longest_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a batch or a call is running now."""
        return self._taken_parts > 0

    @property
    def waiting(self) -> int:
        """Images and calls that wait."""
        with self._lock:
            return sum(len(request.waiting) for request in self._requests)

    def hangs(self, timeout_s: float) -> bool:
        """Whether a batch of images runs for longer than ``timeout_s`` and ten times the longest one that ended.

        The first one may take as long as it likes, and calls by ``run``: nothing is known of them.
        """
        with self._lock:
            until = time.monotonic() - max(timeout_s, _TIMES_THE_LONGEST * self._longest_s)
            return self._longest_s > 0 and any(since < until for since in self._watched_since.values())

    async def map(
        self,
        function: Callable[[list[Item]], Sequence[Result]],
        items: Sequence[Item],
        key: Hashable,
        sizes: tuple[int, ...] = (1,),
        *,
        at_once: int = 1,
        watched: bool = True,
    ) -> BatchResults:
        """Return the results of ``function``, which takes a batch, for every item.

        Items of equal ``key`` may go together and have the same function and ``sizes``: the sizes that a batch may
        have, ascending, 1 among them. ``at_once``, 1, 2 or 4, is how many such batches run beside each other. A batch
        that fails is tried again in halves; the first item that fails alone is the error of its request. When the
        request is canceled or waits for too long (DeadlineError), its items that were not taken are dropped.
        ``watched`` batches are those that ``hangs`` tells of.
        """
        if not items:
            return BatchResults([], 0.0, 0.0)
        waiting = deque(enumerate(items))
        parts = _PARTS // at_once
        request = _Request(key, function, sizes, parts, waiting, [None] * len(items), watched, left=len(items))
        with self._lock:
            self._requests.append(request)
            has_room = self._has_room()
        try:
            if has_room:
                self._executor.submit(self._turn)
            return await self._finished(request)
        except BaseException:
            self._drop(request)
            raise

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one call alone on the device and return its result; it waits, and is dropped, as an image is."""
        found = await self.map(lambda _: [function(*args, **kwargs)], [None], key=object(), watched=False)
        return cast("T", found.results[0])

    def close(self) -> None:
        """Drop what was not taken; what was goes on to its end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            dropped = list(self._requests)
            for request in dropped:
                self._forget(request)
        for request in dropped:
            request.settle(asyncio.CancelledError())

    async def _finished(self, request: _Request) -> BatchResults:
        patience_s = self._patience()
        if patience_s is not None:
            self._watch(request, patience_s)
        try:
            found = await request.done
        finally:
            if request.watch is not None:
                request.watch.cancel()
        self._waited(found.waited_s)
        return found

    def _watch(self, request: _Request, patience_s: float) -> None:
        """Drop a request that has waited for ``patience_s``, else look again when it would have."""
        left_s = request.waits_since + patience_s - time.monotonic()
        if left_s <= 0 and self._drop(request, even_at_work=False):
            words = f"expected a free thread within {patience_s:.3g} s, got none: the service is busy"
            request.settle(DeadlineError(words))
            return
        loop = asyncio.get_running_loop()
        request.watch = loop.call_later(left_s if left_s > 0 else patience_s, self._watch, request, patience_s)

    def _drop(self, request: _Request, *, even_at_work: bool = True) -> bool:
        """Forget the items of a request that wait, and return whether they are forgotten."""
        with self._lock:
            if not even_at_work and (request.at_work or not request.left):
                return False
            self._forget(request)
            return True

    def _forget(self, request: _Request) -> None:
        if request.waiting:
            self._requests.remove(request)
            request.waiting.clear()

    def _turn(self) -> None:
        """Run batches as long as there are some and the device is free for them."""
        while True:
            with self._lock:
                batch = self._next_batch() if self._has_room() else []
                parts = batch[0][0].parts if batch else 0
                self._taken_parts += parts
                if batch and batch[0][0].watched:
                    self._watched_since[threading.get_ident()] = time.monotonic()
                has_room = self._has_room()
            if not batch:
                return
            if has_room:
                with suppress(RuntimeError):  # closed meanwhile
                    self._executor.submit(self._turn)
            try:
                self._run(batch)
            finally:
                with self._lock:
                    self._taken_parts -= parts
                    since = self._watched_since.pop(threading.get_ident(), None)
                    if since is not None:
                        self._longest_s = max(self._longest_s, time.monotonic() - since)

    def _has_room(self) -> bool:
        """Whether the device is free for the request whose turn it is."""
        return bool(self._requests) and self._taken_parts + self._requests[0].parts <= _PARTS

    def _next_batch(self) -> list[tuple[_Request, int, Any]]:
        """Take an item of each request in turn, of those whose work equals that of the first one."""
        first = self._requests[0]
        waiting = sum(len(request.waiting) for request in self._requests if request.key == first.key)
        most = max(size for size in first.sizes if size <= waiting)
        batch: list[tuple[_Request, int, Any]] = []
        passed_over: list[_Request] = []
        while len(batch) < most:
            request = self._requests.popleft()
            if request.key != first.key:
                passed_over.append(request)
                continue
            batch.append((request, *request.waiting.popleft()))
            if not request.at_work:
                request.waited_s += time.monotonic() - request.waits_since
            request.at_work += 1
            if request.waiting:
                self._requests.append(request)
        self._requests.extendleft(reversed(passed_over))
        return batch

    def _run(self, batch: list[tuple[_Request, int, Any]]) -> None:
        start = time.perf_counter()
        try:
            items = [item for _, _, item in batch]
            done = list(zip(batch, batch[0][0].function(items), strict=True))
        except BaseException as error:  # noqa: BLE001 (the future raises it)
            if len(batch) == 1:
                self._fail(batch[0][0], error)
                return
            self._run(batch[: len(batch) // 2])
            self._run(batch[len(batch) // 2 :])
            return
        took_s = time.perf_counter() - start
        with self._lock:
            for request in {request for request, _, _ in batch}:
                request.ran_s += took_s
                request.waits_since = time.monotonic()
            for (request, position, _), result in done:
                request.results[position] = result
                request.at_work -= 1
                request.left -= 1
        for request in {request for request, _, _ in batch}:
            if not request.left:
                request.settle(BatchResults(request.results, request.ran_s, request.waited_s))

    def _fail(self, request: _Request, error: BaseException) -> None:
        with self._lock:
            request.at_work -= 1
            request.left -= 1
            self._forget(request)
        request.settle(error)
