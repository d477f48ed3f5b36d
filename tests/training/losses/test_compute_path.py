"""The files that one loss passes: few enough to read them all."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
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
    batch = random_batch(version, 6)
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename).resolve() if event == "call" else ROOT
        if any(path.is_relative_to(ROOT / package) for package in ("app", "models", "training")):
            passed.add(path.relative_to(ROOT).as_posix())

    def compute() -> None:
        sys.setprofile(note)
        try:
            compute_loss(batch.heads, batch.truth, batch.spec, version)
        finally:
            sys.setprofile(None)

    gc.collect()
    gc.disable()  # what other tests left behind may call anything when it is collected
    try:
        with ThreadPoolExecutor(1) as thread:  # what others did to the profiling of this one does not count
            thread.submit(compute).result()
    finally:
        gc.enable()
    of_training = {path for path in passed if path.startswith("training/")}
    assert STEPS | {f"training/losses/presets/{version}.py"} <= of_training
    assert len(of_training) <= 10, sorted(of_training)
    assert passed - of_training == {"models/boxes.py", "models/spec.py", "models/structures.py"}
