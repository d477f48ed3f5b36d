"""Names of images in reports of audits: paths below the data set's folder, with forward slashes on every system."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from yoloscope.training.data.datasets import LabeledImage


def data_folder(data: Path | str) -> Path:
    """Return the folder that images are named below: that of ``--data``, or the one around a description file.

    A COCO file in ``annotations`` describes the folder around that.
    """
    path = Path(data)
    if not path.is_file():
        return path
    parent = path.absolute().parent
    return parent.parent if parent.name == "annotations" else parent


def image_name(path: Path, folder: Path) -> str:
    """Return the path of a file below ``folder``, links not followed where that can be; ``../`` leads out of it."""
    full, root = _absolute(path), _absolute(folder)
    if not full.is_relative_to(root) and path.resolve().is_relative_to(folder.resolve()):
        full, root = path.resolve(), folder.resolve()
    return PurePath(os.path.relpath(full, root)).as_posix()


def images_by_name(images: Iterable[LabeledImage], folder: Path) -> dict[str, LabeledImage]:
    """Return the images of a data set by their names below ``folder``, and by those of the files they link to."""
    listed = list(images)
    targets = {image_name(image.path.resolve(), folder.resolve()): image for image in listed}
    return targets | {image_name(image.path, folder): image for image in listed}


def images_named(names: Iterable[str], images: Iterable[LabeledImage], folder: Path) -> dict[str, LabeledImage]:
    """Return the images that ``names`` mean, those that there are.

    Names may be those below a folder around ``folder`` or inside it, as where a zip holds the data set in a folder of
    its own, if all of them are then found.
    """
    wanted = set(names)
    known = images_by_name(images, folder)
    if not wanted <= known.keys():
        for moved in _moved(sorted(wanted), known):
            if set(moved.values()) <= known.keys():
                return {name: known[other] for name, other in moved.items()}
    return {name: known[name] for name in wanted & known.keys()}


def _moved(names: list[str], known: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield names with one or two leading folders less, or more: those that the known ones share."""
    for count in (1, 2):
        yield {name: "/".join(name.split("/")[count:]) for name in names}
        shared = {tuple(name.split("/")[:count]) for name in known}
        if len(shared) == 1:
            yield {name: "/".join((*next(iter(shared)), name)) for name in names}


class ImageFinder:
    """Finds the image of a name where the folder is not known: the one with the shortest path that ends so."""

    def __init__(self, images: Iterable[LabeledImage]) -> None:
        self._by_ending: dict[tuple[str, ...], LabeledImage] = {}
        for image in images:
            parts = _absolute(image.path).parts
            for start in range(1, len(parts)):
                known = self._by_ending.get(parts[start:])
                if known is None or len(_absolute(known.path).parts) > len(parts):
                    self._by_ending[parts[start:]] = image

    def find(self, name: str) -> LabeledImage | None:
        """Return the image of a name as ``image_name`` gives it, or None."""
        return self._by_ending.get(tuple(part for part in name.split("/") if part not in ("..", ".", "")))


def _absolute(path: Path) -> Path:
    """Return the path without ``..``, links not followed."""
    return Path(os.path.normpath(path.absolute()))
