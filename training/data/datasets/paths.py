r"""Find the files that a data set names: inside its folder, and also where a path was written on another machine.

``C:\data\images\p0.jpg`` or ``/content/drive/images/p0.jpg`` is found by its last components.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Final

from yoloscope.models.errors import DatasetError
from yoloscope.models.images import SUFFIXES
from yoloscope.training.data.datasets.files import splits_differ

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SYSTEM_COPIES: Final = ("__MACOSX", "@eaDir")


def ensure_within(path: Path, within: Path | None) -> Path:
    """Return the path; raise DatasetError if it leads, links followed, out of the folder ``within`` or nowhere."""
    if not is_within(path, within):
        raise DatasetError(f"expected files inside the data set alone, got {path}")
    return path


def is_within(path: Path, within: Path | None) -> bool:
    """Return whether a path, links followed, stays in the folder ``within`` (None: anywhere)."""
    if within is None:
        return True
    try:
        return path.resolve().is_relative_to(within.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Return whether there is a file or folder; none has a name that systems do not allow."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def find_files(folder: Path, suffixes: Collection[str]) -> tuple[Path, ...]:
    """Return the files below a folder with one of the suffixes (in lower case), in the order of their paths.

    Links are followed; hidden files and folders, and the copies that systems leave (``__MACOSX``), are not looked at.
    """
    found = (path for place in walk(folder) for path in place.files if path.suffix.lower() in suffixes)
    return tuple(sorted(found))


def find_images(folder: Path) -> tuple[Path, ...]:
    """Return every image file below a folder, in the order of their paths."""
    return find_files(folder, SUFFIXES)


@dataclass(frozen=True)
class FolderListing:
    """The folders and files in one folder."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]


def walk(folder: Path) -> Iterator[FolderListing]:
    """Yield a folder and those below it, each once however it is linked, without hidden files and systems' copies."""
    seen = set[str]()
    for name, inner, files in os.walk(folder, followlinks=True):
        place, real = Path(name), os.path.realpath(name)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(filter(_is_shown, inner), key=lambda one: ((place / one).is_symlink(), one))
        yield FolderListing(
            tuple(place / one for one in inner), tuple(place / one for one in sorted(files) if _is_shown(one))
        )


class PathFinder:
    """Finds the paths that the lists and descriptions of one data set name.

    A path is taken as it is written, relative to one of ``roots``. One that is not there and was written on another
    machine (it is absolute or has folders in front) is the one file below ``folder`` that ends as it does, if there is
    exactly one; ``relocated`` collects these. No path may lead out of ``within``: an absolute one that does is another
    machine's, whether this one has such a file or not.
    """

    def __init__(self, folder: Path, roots: Sequence[Path] = (), within: Path | None = None) -> None:
        self.folder, self.roots, self.within = folder, tuple(roots) or (folder,), within
        self.relocated: dict[str, Path] = {}

    def find(self, text: str, roots: Sequence[Path] = (), accept: Callable[[Path], bool] = lambda _path: True) -> Path:
        """Return the path that a text means, else the path as it is written, which does not exist.

        ``roots`` come before those of the data set; ``accept`` chooses among relocated paths. Raises DatasetError for
        a path out of ``within``.
        """
        candidates = list(_candidates(text, (*roots, *self.roots)))
        own = candidates if not _is_foreign(text) else [path for path in candidates if is_within(path, self.within)]
        found = next((path for path in own if exists(path)), None)
        if found is None:
            found = self._relocate(text, accept)
        if found is None and _is_foreign(text):
            found = Path(text)
        if found is None:
            found = next((path for path in candidates if is_within(path, self.within)), candidates[0])
        return ensure_within(found, self.within)

    def note(self, source: Path) -> tuple[str, ...]:
        """Return in words, if so, which paths of ``source`` were found elsewhere than they are written."""
        if not self.relocated:
            return ()
        text, path = next(iter(self.relocated.items()))
        count = f"{len(self.relocated)} paths" if len(self.relocated) > 1 else "a path"
        found = f"found by the last components: {path}"
        return (f"{source} has {count} of another machine, such as {text}; {found}",)

    def _relocate(self, text: str, accept: Callable[[Path], bool]) -> Path | None:
        written = PureWindowsPath(text)
        parts = [part for part in written.parts if part not in (written.anchor, ".", "..")]
        if not parts or (len(parts) == 1 and not _is_foreign(text)):
            return None
        scored: dict[int, list[Path]] = {}
        for path in self._by_name.get(parts[-1], ()):
            inner = path.relative_to(self.folder).parts
            if accept(path) and not splits_differ(parts, inner):
                scored.setdefault(_common_tail(parts, (self.folder.absolute().name, *inner)), []).append(path)
        best = scored.get(max(scored, default=0), [])
        if len(best) != 1:
            return None
        self.relocated[text] = best[0]
        return best[0]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        names: dict[str, list[Path]] = {}
        for place in walk(self.folder):
            for path in (*place.folders, *place.files):
                names.setdefault(path.name, []).append(path)
        return names


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name not in _SYSTEM_COPIES


def _is_foreign(text: str) -> bool:
    return text.startswith(("/", "\\")) or _DRIVE.match(text) is not None


def _candidates(text: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths that a text may mean: as written, then with backslashes as separators.

    Exports with the splits beside ``data.yaml`` often write ``../train/images`` for ``train/images``; both are tried.
    """
    for form in dict.fromkeys((text, text.replace("\\", "/"))):
        written = Path(form)
        if written.is_absolute():
            yield written
            continue
        inner = Path(*written.parts[1:]) if written.parts[:1] == ("..",) else written
        yield from (root / path for root in roots for path in dict.fromkeys((written, inner)))


def _common_tail(parts: Sequence[str], others: Sequence[str]) -> int:
    count = 0
    for part, other in zip(reversed(parts), reversed(others), strict=False):
        if part != other:
            break
        count += 1
    return count
