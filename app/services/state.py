"""State of the running service: models, thread pools, limits.

Work is bounded and off the event loop, in threads of our own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from yoloscope.app.services.admission import ConcurrencyLimiter, Patience
from yoloscope.app.services.batcher import Batcher
from yoloscope.app.services.kept_heads import HeadsCache
from yoloscope.app.services.metrics import Metrics
from yoloscope.app.services.model_store import ModelStore, default_model, fallback_for, reason
from yoloscope.app.services.variants.service import Variants
from yoloscope.app.settings import AUDITS_FILE
from yoloscope.models.cpu import give_way
from yoloscope.models.errors import (
    DeadlineError,
    ModelLoadError,
    ModelNotFoundError,
    NotReadyError,
    StorageError,
    YoloscopeError,
)

if TYPE_CHECKING:
    from yoloscope.app.services.audits.service import AuditService
    from yoloscope.app.services.runtime import Runtime
    from yoloscope.app.settings import Settings

_SHORTEST_LOOK_S: Final = 0.05
"""Between two looks at whether a call has begun, where its request has other calls at work."""
_JOB_THREADS: Final = 4
"""For the database and the files of audits."""

_LOGGER = logging.getLogger(__name__)

_PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)
"""How long the request at work may wait for threads."""

P = ParamSpec("P")
T = TypeVar("T")


def _patience_left_s() -> float | None:
    """Return how many seconds the request at work may still wait, None: for ever."""
    patience = _PATIENCE.get()
    return None if patience is None else patience.left_s()


def _spend_patience(seconds: float) -> None:
    patience = _PATIENCE.get()
    if patience is not None:
        patience.spend(seconds)


def _take_error(done: asyncio.Future[Any]) -> None:
    """Ask for the error of a call, which asyncio reports where nobody does: its request may have ended before it."""
    if not done.cancelled():
        done.exception()


class ThreadPool:
    """Threads that take blocking work from the event loop."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=give_way)
        self._calls: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether a call is running now."""
        return any(call.running() for call in list(self._calls))

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one call in a thread of the pool and return its result.

        A call that has not begun is dropped when its request is canceled, and when the request has waited for too long:
        then it raises DeadlineError.
        """
        patience = _PATIENCE.get()
        call = function if patience is None else patience.wait(function)
        future = self._executor.submit(call, *args, **kwargs)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        result = asyncio.wrap_future(future)
        result.add_done_callback(_take_error)
        try:
            while patience is not None and not (result.done() or future.running()):
                left_s = patience.left_s()
                if left_s <= 0 and future.cancel():
                    raise DeadlineError(
                        f"expected a free thread within {patience.seconds:g} s, got none: the service is busy"
                    )
                await asyncio.wait({result}, timeout=max(left_s, _SHORTEST_LOOK_S))
            return await result
        finally:
            if not future.done():
                future.cancel()
            if patience is not None and future.cancelled():
                patience.drop()

    def close(self) -> None:
        """Drop what has not started; what has goes on to its end."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Services:
    """The settings, models, threads and limits that requests share.

    Decoding has as many threads as the process has CPUs; one thread owns the device of the models, because onnxruntime
    spreads a run over ``settings.threads`` threads itself; one looks at the files of models.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = settings.image_limits
        self.variants = Variants(settings)
        self.store = ModelStore(
            settings.models_dir,
            default_model(settings),
            settings.provider,
            settings.threads,
            max_batch=settings.max_batch,
            on_load=self.variants.prepare,
        )
        self.fallback_for = fallback_for(settings)
        self.decoding = ThreadPool("decode", settings.threads)
        self.inference = Batcher("infer", _patience_left_s, _spend_patience)
        self.files = ThreadPool("files", 1)
        self.jobs = ThreadPool("jobs", _JOB_THREADS)
        self.limiter = ConcurrencyLimiter(settings.queue_limit, settings.queue_timeout_s)
        self.kept_heads = HeadsCache(settings.max_kept_images, settings.max_kept_bytes, settings.keep_s)
        self.metrics = Metrics(self.limiter, settings.queue_limit, self.store, self.kept_heads)
        self.no_audits: str | None = None
        """Why no audits are taken, None where they are."""
        self._audits: AuditService | None = None
        self._audits_lock = Lock()
        self.draining = False
        self._started = False

    def start(self) -> Runtime:
        """Load the default model and run it once on the provider asked for; return it."""
        if self.fallback_for is not None:
            _LOGGER.warning("%s is not there: the built-in model takes its place", self.fallback_for)
        runtime = self.store.get()
        if not self._started and (self.settings.database_url or (self.settings.audits_dir / AUDITS_FILE).exists()):
            Thread(target=self._resume_audits, name="resume audits", daemon=True).start()
        self._started = True
        return runtime

    def audits(self) -> AuditService:
        """Return the audits, whose database is opened when this is first called; blocks meanwhile.

        Raises StorageError where the database cannot be used.
        """
        from yoloscope.app.services.audits.service import AuditService  # noqa: PLC0415 - a start without SQLAlchemy

        if self.no_audits is not None:
            raise StorageError(self.no_audits)
        with self._audits_lock:
            if self.draining:
                raise NotReadyError("the service is draining: it takes no more audits")
            if self._audits is None:
                self._audits = AuditService(self.settings)
            return self._audits

    def _resume_audits(self) -> None:
        """Go on with the jobs of before."""
        try:
            self.audits()
        except YoloscopeError as error:
            _LOGGER.warning("audits: %s", error)

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Count images as at work, and bound their waits for a thread; raises BusyError for too many."""
        with self.patience(), self.limiter.hold(count):
            yield

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Bound the time that a request waits for threads, all its calls together, those of blocks inside as well."""
        token = _PATIENCE.set(_PATIENCE.get() or Patience(self.settings.queue_timeout_s))
        try:
            yield
        finally:
            _PATIENCE.reset(token)

    async def model(self, name: str | None) -> Runtime:
        """Return a model by name (None: the default), loaded if it was not; the event loop is free meanwhile.

        Raises ModelNotFoundError, or ModelLoadError in words for clients: the operator's are in the log.
        """
        name = name or self.store.default
        runtime = self.store.fresh(name)
        if runtime is not None:
            return runtime
        load = await self.files.run(self.store.find, name)
        try:
            return await asyncio.wrap_future(load)
        except Exception as error:
            raise ModelLoadError(f"expected a model that can be served, got {name!r}: {reason(error)}") from error

    async def load(self, name: str) -> Runtime:
        """Load a model by name as ``ModelStore.load`` does; the event loop is free meanwhile."""
        load = await self.files.run(self.store.load, name)
        try:
            return await asyncio.wrap_future(load)
        except Exception as error:
            raise ModelLoadError(f"expected a model that can be served, got {name!r}: {reason(error)}") from error

    async def ready(self) -> Runtime:
        """Return the default model if it has run once and the service is not draining; raise NotReadyError if not."""
        if self.draining:
            raise NotReadyError("the service is draining: it finishes what it has, new requests belong elsewhere")
        name = self.store.default
        runtime = self.store.fresh(name)
        if not self._started:
            raise NotReadyError(f"the default model {name!r} has not run yet")
        if runtime is not None:
            return runtime
        try:
            load = await self.files.run(self.store.find, name)
        except ModelNotFoundError as error:
            raise NotReadyError(f"the file of the default model {name!r} is not there") from error
        except ModelLoadError as error:
            raise NotReadyError(f"the default model {name!r} cannot be served: {error.reason}") from error
        if not load.done():
            raise NotReadyError(f"the file of the default model {name!r} is being loaded")
        if load.exception() is not None:
            raise NotReadyError(f"the default model {name!r} cannot be served: {self.store.problem(name)}")
        return load.result()

    @property
    def busy(self) -> bool:
        """Whether a thread is at work now."""
        return any(pool.busy for pool in (self.decoding, self.inference, self.files, self.jobs))

    @property
    def unfinished(self) -> bool:
        """Whether a thread is at work or opens a model, which fails where Python takes itself apart beneath it."""
        return self.busy or self.store.busy or self.variants.busy

    def close(self) -> None:
        """Stop the threads, whose calls go on to their end, and the worker of audits after the images at work."""
        self.decoding.close()
        self.inference.close()
        self.files.close()
        self.jobs.close()
        self.variants.close()
        with self._audits_lock:
            audits, self._audits = self._audits, None
        if audits is not None:
            audits.close()
