"""A script that trains on as many processes as it is told: data, folder, processes, mini-batches."""

import sys
from pathlib import Path

import training.fit
from tests.training.fitting.runs import quick_config

if __name__ == "__main__":
    data, folder, devices, accumulate = sys.argv[1:]
    training.fit.export_best = lambda *_: None  # type: ignore[assignment]
    training.fit.fit(
        quick_config(
            epochs=2,
            batch_size=4,
            accumulate=int(accumulate),
            optimizer={"name": "sgd", "rate": 0.01},
            data={"val": "val"},
            augment={"mosaic": 0.5, "random_shapes": 1.6, "random_shapes_every": 1},
        ),
        Path(data),
        Path(folder),
        machine=training.fit.Machine(devices=int(devices), accelerator="cpu"),
    )
