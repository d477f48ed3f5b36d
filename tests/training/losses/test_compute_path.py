"""The files that one loss passes: few enough to read them all."""

import json
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

from tests.conftest import ROOT
from tests.training.losses.cases import random_batch
from yoloscope.training.losses import compute_loss

STEPS = {
    "training/losses/compute.py",
    "training/losses/decode.py",
    "training/assignment/assign.py",
    "training/assignment/ignore.py",
    "training/losses/terms.py",
    "training/losses/costs.py",
}
"""Decode, assign (with the ignore rule), terms and their costs; the formula of a version comes to these."""


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_loss_passes_ten_files_of_training_and_three_of_models(version: str) -> None:
    """In a process of its own: what other tests left behind may be called too, or keep calls from being seen."""
    command = [sys.executable, "-m", "tests.training.losses.test_compute_path", version]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    passed = set(json.loads(ended.stdout))
    of_training = {path for path in passed if path.startswith("training/")}
    assert STEPS | {f"training/losses/presets/{version}.py"} <= of_training
    assert len(of_training) <= 10, sorted(of_training)
    assert passed - of_training == {"models/boxes.py", "models/spec.py", "models/structures.py"}


def files_passed(version: str) -> set[str]:
    """Return the project's files of which a function is called while a loss is computed."""
    batch = random_batch(version, 6)
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename).resolve() if event == "call" else ROOT
        if any(path.is_relative_to(ROOT / package) for package in ("app", "models", "training")):
            passed.add(path.relative_to(ROOT).as_posix())

    sys.setprofile(note)
    try:
        compute_loss(batch.heads, batch.truth, batch.spec, version)
    finally:
        sys.setprofile(None)
    return passed


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sorted(files_passed(sys.argv[1]))))
