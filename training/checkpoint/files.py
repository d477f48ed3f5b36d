"""Checkpoints that are there whole or not at all.

The files in the folder of a run, and in that of a search.

Whether a network can be gone on with.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from yoloscope.models.errors import CheckpointError

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"
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
    """Write a checkpoint beside its place, flush it to the disk and rename it.

    Whatever happens meanwhile, a former file of that name stays as it was; what a process that was killed left
    unfinished is removed. Raises CheckpointError, for instance where the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with temporary.open("wb") as file:
            buffer = io.BytesIO()
            torch.save({"format": FORMAT, **state}, buffer)
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        kept = "the previous one is unharmed" if path.is_file() else "there is no earlier one"
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}; {kept}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the unfinished files of this checkpoint whose processes are gone."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        process = leftover.name.split(".")[-2]
        if process.isdigit() and not _is_alive(int(process)):
            leftover.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
    return next(iter(str(error).splitlines()), type(error).__name__)
