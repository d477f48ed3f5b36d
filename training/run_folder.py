"""The files in the folder of a run, and in that of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.errors import CheckpointError

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"
ARTEFACT: Final = "model.onnx"
BEST_CONFIG: Final = "best.yaml"


def find_checkpoint(path: Path) -> Path:
    """Return a checkpoint itself, or that of a run's folder: the best one, else the last; raise CheckpointError."""
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"expected a checkpoint or the folder of a run, got {path} without {BEST} and {LAST}")


def trial_folder(search: Path, number: int) -> Path:
    """Return the folder of one run of a search."""
    return search / "trials" / f"{number:03d}"
