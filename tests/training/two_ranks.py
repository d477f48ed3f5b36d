"""Four steps on as many processes as wanted; as a script (DATA FOLDER TEACHER ...), on two."""

import sys
from collections.abc import Sequence
from pathlib import Path

import yoloscope.training.train
from tests.training.runs import quick_config
from yoloscope.training.trainer import DeviceConfig


def train_ranks(data: Path, folder: Path, devices: int, accumulate: int, teachers: Sequence[Path] = ()) -> None:
    """Train on four images a step, whatever the processes."""
    config = quick_config(
        epochs=2,
        batch_size=4,
        accumulate=accumulate,
        optimizer={"name": "sgd", "lr": 0.01},
        data={"val": "val"},
        distill={"teachers": list(teachers)} if teachers else None,
        augment={"mosaic": 0.5, "random_shapes": 1.6, "random_shapes_every": 1},
    )
    machine = DeviceConfig(devices=devices, accelerator="cpu")
    yoloscope.training.train.train(config, data, folder, machine=machine)


if __name__ == "__main__":
    yoloscope.training.train.export_best = lambda *_: None  # type: ignore[assignment]
    data, folder, *teachers = map(Path, sys.argv[1:])
    train_ranks(data, folder, devices=2, accumulate=1, teachers=teachers)
