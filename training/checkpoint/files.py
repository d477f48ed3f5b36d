"""Checkpoint files, written whole or not at all, and the names of the files in the folder of a run or a search."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from yoloscope.models.errors import CheckpointError, OutputError
from yoloscope.models.files import atomic_write

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"
RUN: Final = "run.json"
ARTIFACT: Final = "model.onnx"
FINDINGS: Final = "label-findings.txt"
TEACHERS: Final = "teachers"
BEST_CONFIG: Final = "best.yaml"


def find_checkpoint(path: Path) -> Path:
    """Return a checkpoint itself, or that of a run's folder: the best one, else the last; raise CheckpointError."""
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"expected a checkpoint or the folder of a run, got {path} without {BEST} and {LAST}")


def named_checkpoint(name: str | None) -> Path | None:
    """Return the checkpoint that the name of a model means, or None where it means another kind of model.

    A name means one if it ends in ``.ckpt``, is a folder that holds one, or is a folder written with a separator.
    Raises CheckpointError for a folder without any.
    """
    if not name:
        return None
    path = Path(name)
    if name.endswith(".ckpt"):
        return path
    if not path.is_dir():
        return None
    held = any((path / one).is_file() for one in (BEST, LAST))
    return find_checkpoint(path) if held or "/" in name or "\\" in name else None


def has_checkpoint(folder: Path, num_teachers: int = 0) -> bool:
    """Return whether a run can be resumed: by its own last checkpoint, or that of a teacher that it trains first."""
    places = (folder, *(folder / TEACHERS / str(number) for number in range(num_teachers)))
    return any((place / LAST).is_file() for place in places)


def trial_folder(search: Path, number: int) -> Path:
    """Return the folder of one run of a search."""
    return search / "trials" / f"{number:03d}"


def first_not_finite(network: nn.Module) -> str | None:
    """Return the name of the first weight or running statistic that is not finite, or None where all are."""
    for name, value in network.state_dict().items():
        if not bool(value.isfinite().all()):
            return name
    return None


FORMAT = 1


def write_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all.

    Raises CheckpointError, for instance where the disk is full.
    """
    try:
        with atomic_write(path) as temporary:
            buffer = io.BytesIO()
            torch.save({"format": FORMAT, **state}, buffer)
            temporary.write_bytes(buffer.getbuffer())
    except OutputError as error:
        kept = "the previous one is unharmed" if path.is_file() else "there is no earlier one"
        raise CheckpointError(f"checkpoint: {error}; {kept}") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the tensors (on the CPU) and values of a checkpoint, running no code from it; raise CheckpointError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"expected a checkpoint at {path}, got: {_first_line(error)}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise CheckpointError(f"expected a checkpoint of format {FORMAT} at {path}, got {found}")
    return state


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "")
    return line if " " in line else f"a file that cannot be read ({type(error).__name__} {line}".rstrip() + ")"
