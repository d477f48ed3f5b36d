"""Model store: models of the folder by name, loaded on first use and again when a file changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Final

from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.sessions import Provider
from yoloscope.app.settings import Settings
from yoloscope.models import zoo
from yoloscope.models.errors import ModelLoadError, ModelNotFoundError, ProviderError
from yoloscope.models.files import Signature, file_signature
from yoloscope.models.images import trim_memory

BUILTIN: Final = "builtin"
FIRST_CHOICE: Final = "yolov4-tiny"
"""What is served where no model is named, if it is there or can be pulled; else the built-in model is."""

logger = logging.getLogger(__name__)


def artifact_path(model: str, models_dir: Path) -> Path:
    """Return where the artifact of a name or path is, or would be: a path ends in ``.onnx`` or has a separator."""
    if model == BUILTIN:
        return zoo.BUILTIN
    if model.endswith(".onnx") or "/" in model or "\\" in model:
        return Path(model)
    return models_dir / f"{model}.onnx"


def default_model(settings: Settings) -> str:
    """Return the model that is named, else the first choice where it is there, else the built-in one."""
    if settings.model is not None:
        return settings.model
    return FIRST_CHOICE if artifact_path(FIRST_CHOICE, settings.models_dir).is_file() else BUILTIN


def fallback_for(settings: Settings) -> str | None:
    """Return the model whose place the built-in one takes, None where no fallback is at work."""
    return FIRST_CHOICE if settings.model is None and default_model(settings) == BUILTIN else None


@dataclass
class _Slot:
    """One model: the file that was read last, its load, and the runtime that serves."""

    path: Path
    checked_at: float = 0.0
    signature: Signature | None = None
    load: Future[Runtime] | None = None
    serving: Runtime | None = None
    load_s: float = 0.0


class ModelStore:
    """The models that may be asked for by name: the default, the built-in and every ``<name>.onnx`` in ``models_dir``.

    Clients give names, never paths; only the operator's ``default`` may be a path, and is served under its stem.
    A file is looked at once in ``check_interval_s`` at most, when its model is asked for. One that changed is loaded by
    a thread of its own while the model of before serves; one that cannot be loaded is tried again when it changes.
    Thread-safe. ``on_load`` is called with the name and the runtime of every model that was loaded.
    """

    def __init__(
        self,
        models_dir: Path,
        default: str,
        provider: Provider,
        threads: int,
        check_interval_s: float = 1.0,
        max_batch: int = 1,
        on_load: Callable[[str, Runtime], None] | None = None,
    ) -> None:
        self._models_dir = models_dir
        self._default_path = artifact_path(default, models_dir)
        self._provider = provider
        self._threads = threads
        self._check_interval_s = check_interval_s
        self._max_batch = max_batch
        self._on_load = on_load
        self._slots: dict[str, _Slot] = {}
        self._unloaded: set[str] = set()
        self._loading: set[Thread] = set()
        self._lock = Lock()

    @property
    def busy(self) -> bool:
        """Whether a thread loads a model, or opens what a loaded one is to have beside."""
        return any(thread.is_alive() for thread in list(self._loading))

    @property
    def default(self) -> str:
        """The name of the model that serves requests naming none."""
        return self._default_path.stem

    def names(self) -> list[str]:
        """Return every name that can be asked for, the default first where its file is there."""
        found = {path.stem for path in self._models_dir.glob("*.onnx") if _is_served(path)}
        default = [self.default] if _is_file(self._default_path) else []
        return [*default, *sorted((found | {BUILTIN}) - {self.default})]

    def loaded(self, name: str) -> Runtime | None:
        """Return the runtime of a model that is loaded already, else None."""
        slot = self._slots.get(name)
        return None if slot is None else slot.serving

    def serving(self) -> list[tuple[str, Runtime, float]]:
        """Return the name and runtime of every loaded model, and how many seconds its load took."""
        slots = list(self._slots.items())
        return [(name, slot.serving, slot.load_s) for name, slot in slots if slot.serving is not None]

    def fresh(self, name: str) -> Runtime | None:
        """Return the runtime of a model that is loaded and whose file need not be looked at yet, else None."""
        slot = self._slots.get(name)
        return slot.serving if slot is not None and self._is_fresh(slot) else None

    def problem(self, name: str) -> str | None:
        """Return why the file of a model could not be loaded, without its path; None where it could, or was not yet."""
        if name in self._unloaded:
            return "it was unloaded"
        slot = self._slots.get(name)
        if slot is None or slot.load is None or not slot.load.done():
            return None
        error = slot.load.exception()
        return None if error is None else reason(error)

    def loading(self, name: str) -> bool:
        """Return whether a load of a model is under way."""
        slot = self._slots.get(name)
        return slot is not None and slot.load is not None and not slot.load.done()

    def has(self, name: str) -> bool:
        """Return whether a model of that name can be asked for."""
        return name in {self.default, BUILTIN} or self.loaded(name) is not None or name in self.names()

    def get(self, name: str | None = None) -> Runtime:
        """Return the runtime of a model, waiting for it to load; raises what ``find`` and its future do."""
        return self.find(name or self.default).result()

    def find(self, name: str) -> Future[Runtime]:
        """Look at the file of a model and return its runtime, or the load that is under way.

        Raises ModelNotFoundError; the future raises ModelLoadError, ProviderError or what running the model once did.
        """
        with self._lock:
            if name in self._unloaded:
                raise ModelLoadError(
                    f"expected a model that is loaded, got {name!r}, which was unloaded", "it was unloaded"
                )
            slot = self._slots.get(name)
            if slot is None:
                slot = _Slot(self._path(name))
            if slot.load is None or not self._is_fresh(slot):
                self._look(name, slot)
            self._slots[name] = slot
            assert slot.load is not None
            return slot.load if slot.serving is None else _done(slot.serving)

    def load(self, name: str) -> Future[Runtime]:
        """Load a model that was unloaded, whose file changed or whose last load failed; else return its last load.

        The model of before serves until the new one has run once. Raises what ``find`` does.
        """
        with self._lock:
            slot = self._slots.get(name) or _Slot(self._path(name))
            if slot.load is not None and slot.load.done() and slot.load.exception() is not None:
                slot.signature = None
            self._unloaded.discard(name)
            self._look(name, slot)
            self._slots[name] = slot
            assert slot.load is not None
            return slot.load

    def unload(self, name: str) -> None:
        """Forget a model until it is loaded by name; requests that have it finish. Raises ModelNotFoundError."""
        with self._lock:
            self._path(name)
            self._slots.pop(name, None)
            self._unloaded.add(name)

    def _is_fresh(self, slot: _Slot) -> bool:
        return monotonic() - slot.checked_at < self._check_interval_s

    def _look(self, name: str, slot: _Slot) -> None:
        """Start to load a file that changed, one load of a model at a time; forget a model whose file is gone.

        One whose file cannot be looked at, as on a disk that fails for a moment, goes on serving.
        """
        slot.checked_at = monotonic()
        try:
            signature = file_signature(slot.path)
        except OSError:
            if slot.serving is not None:
                return
            signature = None
        if signature is None:
            self._slots.pop(name, None)
            raise self.not_found(name)
        if signature != slot.signature and (slot.load is None or slot.load.done()):
            slot.signature = signature
            slot.load = Future()
            slot.load.set_running_or_notify_cancel()
            thread = Thread(target=self._load, args=(name, slot, slot.load), name=f"load {name}", daemon=True)
            self._loading = {other for other in self._loading if other.is_alive()} | {thread}
            thread.start()

    def _load(self, name: str, slot: _Slot, load: Future[Runtime]) -> None:
        before, start = slot.serving, monotonic()
        try:
            runtime = Runtime(slot.path, self._provider, self._threads)
            runtime.warm_up(runtime.batch_sizes(self._max_batch))
        except BaseException as error:  # noqa: BLE001 (the future raises it)
            _log_failure(name, slot, error)
            load.set_exception(error)
            return
        slot.load_s = monotonic() - start
        slot.serving = runtime
        if before is not None:
            logger.info("the model %r changed: version %s replaces %s", name, runtime.version, before.version)
        load.set_result(runtime)
        try:
            runtime.open_half()
        except (ModelLoadError, OSError) as error:
            logger.warning("the model %r runs in one session alone: %s", name, error)
        trim_memory()
        if self._on_load is not None:
            self._on_load(name, runtime)

    def _path(self, name: str) -> Path:
        if name == self.default:
            return self._default_path
        if name not in self.names():
            raise self.not_found(name)
        return artifact_path(name, self._models_dir)

    def not_found(self, name: str) -> ModelNotFoundError:
        """Return the error of a name that no model has."""
        return ModelNotFoundError(f"expected one of the models {', '.join(self.names())}, got {name!r}")


def _log_failure(name: str, slot: _Slot, error: BaseException) -> None:
    still = "" if slot.serving is None else f"; version {slot.serving.version} goes on serving"
    logger.error("the model %r at %s cannot be served: %s%s", name, slot.path, error, still)


def reason(error: BaseException) -> str:
    """Return why a model cannot be served in words for its clients: no path, nothing of the runtime's."""
    match error:
        case ModelLoadError():
            return error.reason
        case ModelNotFoundError():
            return "its file is gone"
        case ProviderError():
            return "the execution provider that was asked for is not at work"
        case OSError():
            return "its file cannot be read"
        case _:
            return "it fails when it is run"


def _done(runtime: Runtime) -> Future[Runtime]:
    future: Future[Runtime] = Future()
    future.set_result(runtime)
    return future


def _is_served(path: Path) -> bool:
    return path.stem.isprintable() and not path.name.startswith(".") and _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a disk that fails, a folder that may not be entered
        return False
