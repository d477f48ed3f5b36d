"""Official weights: found in a folder by their content, or downloaded and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from yoloscope.models.errors import ConfigError, DownloadError
from yoloscope.models.files import atomic_write, sha256
from yoloscope.models.locks import hold_lock
from yoloscope.models.scratch import is_scratch
from yoloscope.models.zoo.official import OfficialWeights

_CHUNK: Final = 1 << 18
_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)

Advance = Callable[[int], None]
"""Called with the number of bytes that have come."""


def obtain_weights(official: OfficialWeights, log: Callable[[str], None]) -> Path:
    """Return official weights from the folder YOLOSCOPE_WEIGHTS or the cache, else download them into the cache.

    ``log`` gets a line where they are downloaded. Raises ConfigError where that folder does not exist, DownloadError
    saying what to do without a network, and OutputError where the cache cannot be written.
    """
    folder = os.environ.get("YOLOSCOPE_WEIGHTS")
    found = find_weights(official, Path(folder)) if folder else None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yoloscope" / "weights"
    if found is None and cache.is_dir():
        found = find_weights(official, cache)
    if found is not None:
        return found
    target = cache / official.file_name
    with suppress(OSError):  # what writes there tells
        cache.mkdir(parents=True, exist_ok=True)
    with hold_lock(cache / f".{official.file_name}.lock", lambda: log(f"another process downloads {target}: waiting")):
        if not _is(target, official):
            log(f"downloading {official.url} ({official.size / 1e6:.0f} MB) to {target}")
            with atomic_write(target) as temporary:
                download(official, temporary, lambda _count: None)
    return target


def find_weights(official: OfficialWeights, folder: Path) -> Path | None:
    """Return the official file inside a folder, at any depth and under any name: it is known by its content.

    Where no sha256 is published the name must be right as well as the size. Raises ConfigError if there is no folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"YOLOSCOPE_WEIGHTS: expected a folder, got {folder}")
    candidates = [path for path in folder.rglob("*") if _size(path) == official.size and not is_scratch(path)]
    candidates.sort(key=lambda path: (path.name != official.file_name, path))
    if official.sha256 is None:
        candidates = [path for path in candidates if path.name == official.file_name]
    return next((path for path in candidates if _is(path, official)), None)


def download(official: OfficialWeights, target: Path, advance: Advance) -> Path:
    """Fetch the official file into ``target`` and check it; ``advance`` gets each number of new bytes.

    Raises DownloadError saying what to do without a network.
    """
    try:
        with (
            httpx.stream("GET", official.url, follow_redirects=True, timeout=_TIMEOUT) as response,
            target.open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes(_CHUNK):
                file.write(chunk)
                advance(len(chunk))
    except httpx.HTTPError as error:
        raise DownloadError(
            _advice(official, f"it could not be downloaded ({error or type(error).__name__})")
        ) from error
    found = sha256(target)
    if not official.recognizes(target.stat().st_size, found):
        raise DownloadError(_advice(official, f"the download is another file (sha256 {found})"))
    return target


def _size(path: Path) -> int | None:
    """Return the size of a file; None for what is none, or not any more."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _is(path: Path, official: OfficialWeights) -> bool:
    try:
        return official.recognizes(path.stat().st_size, sha256(path))
    except FileNotFoundError:  # removed meanwhile
        return False


def _advice(official: OfficialWeights, reason: str) -> str:
    known_by = f"{official.size} bytes" + (f", sha256 {official.sha256}" if official.sha256 else "")
    return (
        f"the weights of {official.name} are needed and {reason}.\n"
        f"  1. Fetch {official.url}\n"
        f"     ({known_by}) on a machine with a network.\n"
        f"  2. Put {official.file_name} into any folder of this machine.\n"
        f"  3. Set YOLOSCOPE_WEIGHTS to that folder and start again."
    )
