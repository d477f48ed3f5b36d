"""Everything that lives as long as the service does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.services.images import ImageLimits
from app.services.model_store import ModelStore, default_model
from app.services.pools import Gate, WorkPool
from models.errors import NotReadyError

if TYPE_CHECKING:
    from app.services.runtime import Runtime
    from app.settings import Settings


class Services:
    """The settings, models, threads and limits that requests share.

    Decoding has as many threads as the process has CPUs; inference has one, because onnxruntime spreads a run over
    ``settings.threads`` threads itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = ImageLimits(settings.max_bytes, settings.max_pixels, settings.max_side)
        self.store = ModelStore(settings.models_dir, default_model(settings), settings.provider, settings.threads)
        self.decoding = WorkPool("decode", settings.threads)
        self.inference = WorkPool("infer", 1)
        self.gate = Gate(settings.queue_limit)
        self.draining = False

    def start(self) -> Runtime:
        """Load the default model and run it once on the provider asked for; return it."""
        return self.store.get()

    def ready(self) -> Runtime:
        """Return the default model if it has run once and the service is not draining; raise NotReadyError if not."""
        runtime = self.store.loaded(self.store.default)
        if self.draining:
            raise NotReadyError("the service is draining: it finishes what it has, new requests belong elsewhere")
        if runtime is None:
            raise NotReadyError(f"the default model {self.store.default!r} has not run yet")
        return runtime

    def close(self) -> None:
        """Stop the threads."""
        self.decoding.close()
        self.inference.close()
