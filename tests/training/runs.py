"""A data set of squares and discs, and a configuration of a network that takes milliseconds."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from yoloscope.training.config import TrainingConfig
from yoloscope.training.logs import log_to

Configure = Callable[..., TrainingConfig]


def write_shapes(folder: Path, train: int = 6, val: int = 2, side: int = 64) -> Path:
    """Write a YOLO data set with one or two shapes an image."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(generator.integers(90, 160, (side, side, 3)).astype(np.uint8))
            draw, lines = ImageDraw.Draw(image), []
            for class_id in range(1 + number % 2):
                low = generator.integers(2, side // 3, 2) + class_id * side // 3
                size = generator.integers(side // 4, side // 3, 2)
                box = (*low.tolist(), *(low + size).tolist())
                shape = draw.rectangle if class_id == 0 else draw.ellipse
                shape(box, fill=(220, 40, 40) if class_id == 0 else (30, 60, 210))
                center, extent = (low + size / 2) / side, size / side
                lines.append(f"{class_id} {center[0]:.6f} {center[1]:.6f} {extent[0]:.6f} {extent[1]:.6f}\n")
            image.save(folder / "images" / split / f"{number}.jpg", quality=95)
            (folder / "labels" / split / f"{number}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square, disc]\n")
    return folder


def quick_config(**changes: Any) -> TrainingConfig:
    """A run of one step per epoch (two with a batch of 4) of a narrow network at 64 px, in float32."""
    values: dict[str, Any] = {
        "network": "yolov4-tiny",
        "network_options": {"width": 0.125},
        "input_size": [64, 64],
        "epochs": 1,
        "batch_size": 6,
        "precision": "fp32",
        "data": {"workers": 0, "val": None},
        "schedule": {"kind": "constant", "warmup_epochs": 0},
        "augment": {"mosaic": 0, "flip_horizontal": 0, "color": None},
    }
    for key, value in changes.items():
        known = values.get(key)
        values[key] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
    return TrainingConfig.parse(values)


class ActingHandler(logging.Handler):
    """Handler that hands every line of a log to a function."""

    def __init__(self, act: Callable[[str], object]) -> None:
        super().__init__()
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        self._act(self.format(record))


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """The lines that training logs in a with block."""
    lines: list[str] = []
    with log_to(ActingHandler(lines.append)):
        yield lines


@contextmanager
def signalled_at(line: str, number: int = signal.SIGTERM) -> Iterator[None]:
    """Send this process a signal where training logs a line that begins so."""
    with log_to(ActingHandler(lambda text: os.kill(os.getpid(), number) if text.startswith(line) else None)):
        yield
