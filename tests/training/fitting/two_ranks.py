"""Four steps on as many processes as wanted; as a script (DATA FOLDER), on two."""

import sys
from pathlib import Path

import training.fit
from tests.training.fitting.runs import quick_config
from training.machine import Machine


def train(data: Path, folder: Path, devices: int, accumulate: int) -> None:
    """Train on four pictures a step, whatever the processes."""
    config = quick_config(
        epochs=2,
        batch_size=4,
        accumulate=accumulate,
        optimizer={"name": "sgd", "rate": 0.01},
        data={"val": "val"},
        augment={"mosaic": 0.5, "random_shapes": 1.6, "random_shapes_every": 1},
    )
    machine = Machine(devices=devices, accelerator="cpu")
    training.fit.fit(config, data, folder, machine=machine)


if __name__ == "__main__":
    training.fit.export_best = lambda *_: None  # type: ignore[assignment]
    train(Path(sys.argv[1]), Path(sys.argv[2]), devices=2, accumulate=1)
