"""Names to models: what is in the models folder, loaded on first use and kept."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Final

from yoloscope.app.services.runtime import Provider, Runtime
from yoloscope.app.settings import Settings
from yoloscope.models import zoo
from yoloscope.models.errors import ModelNotFoundError

BUILTIN: Final = "builtin"
FIRST_CHOICE: Final = "yolov4-tiny"
"""What is served where no model is named, if it is there or can be pulled; else the built-in model is."""


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


class ModelStore:
    """The models that may be asked for by name: the default, the built-in and every ``<name>.onnx`` in ``models_dir``.

    Clients give names, never paths; only the operator's ``default`` may be a path, and is served under its stem.
    Thread-safe; loading one model does not hold up requests for those already loaded.
    """

    def __init__(self, models_dir: Path, default: str, provider: Provider, threads: int) -> None:
        self._models_dir = models_dir
        self._default_path = artifact_path(default, models_dir)
        self._provider = provider
        self._threads = threads
        self._loaded: dict[str, Runtime] = {}
        self._lock = Lock()

    @property
    def default(self) -> str:
        """The name of the model that serves requests naming none."""
        return self._default_path.stem

    def names(self) -> list[str]:
        """Return every name that can be asked for, the default first."""
        found = {path.stem for path in self._models_dir.glob("*.onnx") if _is_served(path)}
        return [self.default, *sorted((found | {BUILTIN}) - {self.default})]

    def loaded(self, name: str) -> Runtime | None:
        """Return the runtime of a model that is loaded already, else None."""
        return self._loaded.get(name)

    def get(self, name: str | None = None) -> Runtime:
        """Return the runtime of a model, loading it if need be; raises ModelNotFoundError or ModelLoadError."""
        name = name or self.default
        runtime = self._loaded.get(name)
        return runtime if runtime is not None else self._load(name)

    def _load(self, name: str) -> Runtime:
        path = self._path(name)
        with self._lock:
            if name not in self._loaded:
                runtime = Runtime(path, self._provider, self._threads)
                runtime.warm_up()
                self._loaded[name] = runtime
            return self._loaded[name]

    def _path(self, name: str) -> Path:
        if name == self.default:
            return self._default_path
        names = self.names()
        if name not in names:
            raise ModelNotFoundError(f"expected one of the models {', '.join(names)}, got {name!r}")
        return artifact_path(name, self._models_dir)


def _is_served(path: Path) -> bool:
    return path.stem.isprintable() and not path.name.startswith(".") and path.is_file()
