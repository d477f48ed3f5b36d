"""The files in the folder of a run, and in that of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.errors import CheckpointError

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"
ARTEFACT: Final = "model.onnx"
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
