"""The entry: any data set, its layout told by what lies in the folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets.coco import choose_description, file_of_split, find_descriptions, read_coco
from yoloscope.training.data.datasets.dataset import DetectionDataset
from yoloscope.training.data.datasets.voc import is_voc, read_voc_folder
from yoloscope.training.data.datasets.yolo import (
    describe_flat,
    describe_folder,
    read_darknet_data,
    read_data_yaml,
    read_yolo_text,
)

_EXPECTED: Final = (
    "a COCO JSON file (in the folder or in annotations/), VOC's Annotations/ and JPEGImages/, a data.yaml with names, "
    "a darknet .data file, or images and labels (in images/ and labels/, or side by side) with classes.txt or a "
    ".names file"
)
_IGNORED: Final = ("__MACOSX",)


def open_dataset(path: Path | str, split: str | None = None, *, within: Path | None = None) -> DetectionDataset:
    """Open the data set at a folder or description file (``.json``, ``.yaml``, ``.data``).

    ``split`` names one of its parts (``val``, ``valid`` and ``val2017`` are one); None means every image, except that
    one of several COCO files must be chosen. A COCO file that is named stands for its split: the file of another one is
    looked for beside it. A folder that holds one other folder alone stands for that one.

    ``within`` is a folder that no file of the data set may lie outside of: what a data set that somebody else wrote is
    opened with. Raises DatasetError saying what was looked for and what was found.
    """
    path = Path(path)
    if path.is_file():
        return _open_file(path, split, within)
    if not path.is_dir():
        raise DatasetError(f"expected a data set at {path}, got no file or folder")
    folder = _descend(path)
    found = list(_layouts(folder, split, within))
    if len(found) == 1:
        return found[0][1]()
    if found:
        listed = ", ".join(name for name, _ in found)
        raise DatasetError(f"expected one description of the data set in {folder}, got {listed}: name the file to use")
    raise DatasetError(f"expected {_EXPECTED} in {folder}, got {_listing(folder)}")


def _open_file(path: Path, split: str | None, within: Path | None) -> DetectionDataset:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_coco(file_of_split(path, split, within), split, within)
    if suffix in (".yaml", ".yml"):
        return read_yolo_text(read_data_yaml(path, within), split)
    if suffix == ".data":
        return read_yolo_text(read_darknet_data(path, within), split)
    hint = "; unpack it first" if suffix in (".zip", ".tar", ".gz", ".tgz") else ""
    raise DatasetError(f"expected a folder, or a .json, .yaml or .data file, got {path}{hint}")


def _layouts(
    folder: Path, split: str | None, within: Path | None
) -> Iterator[tuple[str, Callable[[], DetectionDataset]]]:
    """Yield a name and the way to open it for each description in a folder."""
    coco = find_descriptions(folder)
    if coco:
        names = " and ".join(str(path.relative_to(folder)) for path in coco)
        yield names, lambda: read_coco(choose_description(coco, split, folder), split, within)
    if is_voc(folder):
        yield "Annotations/", partial(read_voc_folder, folder, split, within)
    described = is_voc(folder)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".data" or (path.suffix.lower() in (".yaml", ".yml") and _has_names(path)):
            described = True
            yield path.name, partial(_open_file, path, split, within)
    bare = None if described else describe_folder(folder, within)
    if bare is None and not (described or coco):
        bare = describe_flat(folder, within)
    if bare is not None:
        yield "labels/", partial(read_yolo_text, bare, split)


def _has_names(path: Path) -> bool:
    lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    return any(line.startswith("names:") for line in lines)


def _descend(folder: Path) -> Path:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _IGNORED]
    return _descend(entries[0]) if len(entries) == 1 and entries[0].is_dir() else folder


def _listing(folder: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
