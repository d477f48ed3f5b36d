"""Checkpoints that are there whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.errors import CheckpointError

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
