"""YOLO9000's hierarchy of classes: the tree= and map= files of a region head (darknet src/tree.c)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from models.errors import CfgError
from models.spec import ClassTree


@dataclass(frozen=True)
class NamedTree:
    """A class tree and the name of every node."""

    tree: ClassTree
    names: tuple[str, ...]


def find_data_file(folder: Path | None, name: str) -> Path | None:
    """Return the file that a cfg names, looked for beside the cfg and in the folders above it."""
    if folder is None:
        return None
    folder = folder.resolve()
    for base in (folder, *folder.parents):
        for candidate in (base / name, base / Path(name).name):
            if candidate.is_file():
                return candidate
    return None


def read_tree(path: Path, num_classes: int) -> NamedTree:
    """Read lines of ``name parent``; runs of one parent form a softmax group.

    Raises CfgError where a line is malformed, a parent comes after its child, or the count is not ``num_classes``.
    """
    names: list[str] = []
    parents: list[int] = []
    for line, text in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not text.strip():
            continue
        name, parent = _node(path, line, text)
        if not -1 <= parent < len(names):
            raise CfgError(f"{path.name} line {line}: expected a parent from -1 to {len(names) - 1}, got {parent}")
        names.append(name)
        parents.append(parent)
    if len(names) != num_classes:
        raise CfgError(f"{path.name}: expected {num_classes} classes as the cfg says, got {len(names)}")
    sizes = tuple(len(list(run)) for _, run in groupby(parents))
    return NamedTree(ClassTree(parents=tuple(parents), group_sizes=sizes), tuple(names))


def _node(path: Path, line: int, text: str) -> tuple[str, int]:
    fields = text.split()
    try:
        return fields[0], int(fields[1]) if len(fields) > 1 else -1
    except ValueError as error:
        raise CfgError(f"{path.name} line {line}: expected a name and a parent's number, got {text!r}") from error


def read_map(path: Path, num_classes: int) -> tuple[int, ...]:
    """Read one tree node per line: the nodes that stand for the classes of another data set."""
    try:
        nodes = tuple(int(text) for text in path.read_text("utf-8").split())
    except ValueError as error:
        raise CfgError(f"{path.name}: expected one whole number per line, got {error}") from error
    if any(not 0 <= node < num_classes for node in nodes):
        raise CfgError(f"{path.name}: expected nodes from 0 to {num_classes - 1}, got {min(nodes)}..{max(nodes)}")
    return nodes
