"""Names of the files that a command writes: no input, no foreign file, and none twice in a run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from PIL import Image

from yoloscope.app.responses.drawing import MARK
from yoloscope.models.errors import ConfigError


class OutputFiles:
    """The output files of one run of a command.

    A file counts as taken where it is one of ``inputs`` (under any name), where this run has given it out, or where it
    exists and is no image that Yoloscope wrote. Results of an earlier run are replaced.
    """

    def __init__(self, inputs: Iterable[Path]) -> None:
        self._inputs = {identity for path in inputs if (identity := _identity(path)) is not None}
        self._given: set[str] = set()

    def claim(self, path: Path, option: str) -> Path:
        """Return ``path`` for writing; raise ConfigError naming ``option`` where it is taken."""
        if _identity(path) in self._inputs:
            raise ConfigError(f"{option}: expected another file than the inputs, got {path}")
        if not self._is_free(path):
            raise ConfigError(f"{option}: expected a new file or an earlier result, got {path}, which exists already")
        self._given.add(_key(path))
        return path

    def claim_file(self, path: Path, option: str) -> Path:
        """Return a file that the user named in full; what it held is replaced, unless it is an input."""
        if path.is_dir():
            raise ConfigError(f"{option}: expected a file, got the folder {path}")
        if _identity(path) in self._inputs or _key(path) in self._given:
            raise ConfigError(f"{option}: expected another file than the inputs and other outputs, got {path}")
        self._given.add(_key(path))
        return path

    def name_in(self, folder: Path, stem: str, suffix: str) -> Path:
        """Return the first of ``stem``, ``stem-2``, ``stem-3``, ... in ``folder`` that is not taken."""
        names = (folder / f"{stem}{'' if number == 1 else f'-{number}'}{suffix}" for number in count(1))
        path = next(path for path in names if self._is_free(path))
        self._given.add(_key(path))
        return path

    def _is_free(self, path: Path) -> bool:
        if _key(path) in self._given:
            return False
        identity = _identity(path)
        return identity is None or (identity not in self._inputs and is_own_image(path))


def require_new_folder(folder: Path, option: str) -> Path:
    """Return a folder that does not exist or is empty; raise ConfigError for another."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{option}: expected a new or empty folder, got {folder}")
    return folder


def is_own_image(path: Path) -> bool:
    """Return whether an image file has the mark that Yoloscope writes into the images it draws."""
    try:
        with Image.open(path) as image:
            marks = image.info.get("comment"), image.info.get("Software")
    except (OSError, SyntaxError, ValueError):
        return False
    return MARK in marks or MARK.encode() in marks


def _key(path: Path) -> str:
    """Return what two names have in common that are one file where case does not count."""
    return str(path.resolve()).casefold()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode, the same for every name of a file; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
