"""Kept heads: what a network said about images that will be scored again, so that only labels travel."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.errors import ImageNotKeptError

if TYPE_CHECKING:
    from yoloscope.app.services.inference import PreprocessedImage

_ID_BYTES: Final = 18


@dataclass(frozen=True)
class KeptHeads:
    """The raw heads of one image, each float32 [1, ...], and what scoring needs of the image; no pixels.

    ``model`` is the sha256 of the model's file, ``owner`` who may use them (the digest of an API key, or none).
    """

    heads: tuple[NDArray[np.float32], ...]
    prepared: PreprocessedImage
    file_name: str | None
    model: str
    owner: bytes | None

    @classmethod
    def of(
        cls,
        heads: Sequence[NDArray[np.float32]],
        prepared: PreprocessedImage,
        file_name: str | None,
        model: str,
        owner: bytes | None,
    ) -> KeptHeads:
        """Return what to keep of a prepared image: its size and placement, copies of its heads."""
        without_pixels = replace(prepared, placed=np.empty(0, np.float32))
        return cls(tuple(head.copy() for head in heads), without_pixels, file_name, model, owner)

    @property
    def size(self) -> int:
        """Bytes of the heads."""
        return sum(head.nbytes for head in self.heads)


class HeadsCache:
    """Kept heads by an id that cannot be guessed; bounded in images, bytes and time since the last use. Thread-safe.

    What was used longest ago goes first. ``clock`` returns seconds.
    """

    def __init__(
        self, max_images: int, max_bytes: int, lifetime_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_images = max_images
        self.max_bytes = max_bytes
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, KeptHeads]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.lookups = {"hit": 0, "miss": 0}

    def keep(self, heads: KeptHeads) -> str | None:
        """Keep heads and return their id; None where the limits allow none of their size."""
        if self.max_images < 1 or heads.size > self.max_bytes:
            return None
        with self._lock:
            self._expire()
            while len(self._kept) >= self.max_images or self._bytes + heads.size > self.max_bytes:
                self._drop(next(iter(self._kept)))
            image_id = secrets.token_urlsafe(_ID_BYTES)
            self._kept[image_id] = (self._clock(), heads)
            self._bytes += heads.size
        return image_id

    def find(self, image_id: str, model: str, owner: bytes | None, pointer: str) -> KeptHeads:
        """Return the heads of an id, which live anew from now.

        Raises ImageNotKeptError alike for an id that is unknown, has expired, belongs to another owner or to a model
        file other than ``model``.
        """
        with self._lock:
            self._expire()
            _, heads = self._kept.get(image_id, (0.0, None))
            is_known = heads is not None and heads.owner == owner and heads.model == model
            self.lookups["hit" if is_known else "miss"] += 1
            if heads is None or not is_known:
                raise ImageNotKeptError(
                    f"expected the id of an image that is kept for this model, got {image_id[:64]!r}: it is not, or no "
                    f"longer (images are kept for {self.lifetime_s:g} s after their last use); send the image itself",
                    pointer,
                )
            self._kept[image_id] = (self._clock(), heads)
            self._kept.move_to_end(image_id)
        return heads

    def held(self) -> tuple[int, int]:
        """Return how many images are kept now, and the bytes of their heads."""
        with self._lock:
            self._expire()
            return len(self._kept), self._bytes

    def _expire(self) -> None:
        oldest = self._clock() - self.lifetime_s
        while self._kept and next(iter(self._kept.values()))[0] <= oldest:
            self._drop(next(iter(self._kept)))

    def _drop(self, image_id: str) -> None:
        _, heads = self._kept.pop(image_id)
        self._bytes -= heads.size
