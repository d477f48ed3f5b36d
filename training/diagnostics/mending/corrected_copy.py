"""Copy the folder of a data set with some files changed: whole or not at all, and never writing to the original."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from yoloscope.models.errors import ConfigError, OutputError
from yoloscope.models.images import SUFFIXES
from yoloscope.models.scratch import scratch_folder

CopyMode: TypeAlias = Literal["copy", "link"]
"""Images are copied, or are hard links to the original's (copies where the system cannot link)."""
_NAMES_PATHS: Final = (".yaml", ".yml", ".data", ".txt", ".json")
_PATH_LINE: Final = re.compile(rb"(?m)^(\s*(?:[\w-]+[ \t]*[:=][ \t]*|-[ \t]+)?[\"']?)([^\s\"'].*?)([\"']?\s*)$")


@dataclass
class CopiedFolder:
    """Differences of a copy beside the changed files: files with new paths, and links that it could not take along."""

    repointed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write_corrected_copy(
    folder: Path, output: Path, changed: Mapping[str, bytes], *, images: CopyMode, check: Callable[[Path], None]
) -> CopiedFolder:
    """Write ``folder`` to ``output`` with the ``changed`` files, by their paths below it; other bytes stay.

    Links that lead out of the folder become what they lead to, those inside lead to the same place of the copy. Paths
    in lists and descriptions by which the copy would find the original are changed: the folder's absolute path to the
    copy's, and paths through its parent (``data/a.jpg`` or ``../data`` in the folder ``data``). ``check`` is called
    with the finished copy before it gets its name. Raises ConfigError where the output exists or lies in the folder,
    OutputError where it cannot be written, and whatever ``check`` raises; nothing is left then.
    """
    require_output(folder, output)
    copier = _Copier(folder, output, images)
    try:
        with scratch_folder(output.parent) as scratch:
            temporary = scratch / output.name
            temporary.mkdir()
            copier.copy(temporary)
            for name, data in changed.items():
                _replace(temporary, name, copier.repoint(data, name))
            check(temporary)
            temporary.rename(output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    return copier.result


def require_output(folder: Path, output: Path) -> None:
    """Raise ConfigError unless ``output`` is a new path outside ``folder``."""
    if output.exists() or output.is_symlink():
        raise ConfigError(f"--output: expected a new folder, got {output}, which exists already")
    if output.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"--output: expected a folder outside the data set, got {output} in {folder}")


class _Copier:
    def __init__(self, folder: Path, output: Path, images: CopyMode) -> None:
        self._folder, self._real, self._images = folder, folder.resolve(), images
        names = sorted({os.path.abspath(folder), str(self._real)}, key=len, reverse=True)  # noqa: PTH100 (keeps links)
        found = b"|".join(re.escape(os.fsencode(name)) for name in names)
        self._own_path = re.compile(b"(?:" + found + rb")(?=[/\\\"'\s]|$)")
        self._new_path = os.fsencode(output.absolute())
        self._placed: dict[Path, Path] = {}
        self.result = CopiedFolder()

    def copy(self, target: Path) -> None:
        self._copy_folder(self._folder, target, (self._real,))

    def _copy_folder(self, source: Path, target: Path, above: tuple[Path, ...]) -> None:
        for entry in sorted(os.scandir(source), key=lambda entry: (entry.is_symlink(), entry.name)):
            path, place = Path(entry.path), target / entry.name
            real = Path(os.path.realpath(path))
            if entry.is_symlink() and self._copy_link(path, place, real, target):
                continue
            if entry.is_dir():
                if real in above:
                    self.result.left_out.append(str(path))
                    continue
                place.mkdir()
                self._copy_folder(path, place, (*above, real))
            elif entry.is_file():
                self._copy_file(real, place, path)
            else:
                self.result.left_out.append(str(path))

    def _copy_link(self, path: Path, place: Path, real: Path, target: Path) -> bool:
        """Link to the same place of the copy where a link leads inside the folder; return whether it is done."""
        if not real.exists():
            self.result.left_out.append(str(path))
            return True
        if real.is_relative_to(self._real):
            inside = self._target_root(place, path) / real.relative_to(self._real)
        elif real in self._placed:
            inside = self._placed[real]
        else:
            if real.is_dir():
                self._placed[real] = place
            return False
        place.symlink_to(os.path.relpath(inside, target), target_is_directory=real.is_dir())
        return True

    def _target_root(self, place: Path, path: Path) -> Path:
        depth = len(path.relative_to(self._folder).parts)
        return place.parents[depth - 1]

    def _copy_file(self, real: Path, place: Path, shown: Path) -> None:
        suffix = place.suffix.lower()
        if self._images == "link" and suffix in SUFFIXES:
            try:
                place.hardlink_to(real)
            except OSError:
                shutil.copy2(real, place)
            return
        shutil.copy2(real, place)
        if suffix in _NAMES_PATHS:
            data = place.read_bytes()
            new = self.repoint(data, place.name)
            if new != data:
                place.write_bytes(new)
                self.result.repointed.append(shown.relative_to(self._folder).as_posix())

    def repoint(self, data: bytes, name: str) -> bytes:
        """Return the bytes of a file in which paths that lead to the original lead to the copy."""
        suffix = Path(name).suffix.lower()
        if suffix not in _NAMES_PATHS:
            return data
        new = self._own_path.sub(lambda _found: self._new_path, data)
        if suffix != ".json" and os.fsencode(self._folder.absolute().name) in data:
            new = _PATH_LINE.sub(self._without_parent, new)
        return new

    def _without_parent(self, line: re.Match[bytes]) -> bytes:
        """Return a line whose path, if it goes through the folder's parent, is relative to the folder."""
        before, path, after = line.group(1), os.fsdecode(line.group(2)), line.group(3)
        own = self._folder.absolute()
        if path.startswith("../"):
            found = Path(os.path.normpath(own / path))
            inside = found.relative_to(own).as_posix() if found.is_relative_to(own) else path
        else:
            first, _, rest = path.partition("/")
            through = first == own.name and rest and not (own / first).exists() and (own / rest).exists()
            inside = rest if through else path
        return before + os.fsencode(inside) + after


def _replace(root: Path, name: str, data: bytes) -> None:
    """Write a file anew, so that what it may be linked to is not written to."""
    place = (root / name).resolve()
    if not place.is_relative_to(root.resolve()):
        raise OutputError(f"cannot write {name}: it lies outside the copy")
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, linked folders not entered."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(place) / name for name in sorted(files))
