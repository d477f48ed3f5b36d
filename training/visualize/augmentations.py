"""The first pictures of a run as the network will see them.

One picture for each item of the bags.

Pictures with their boxes and class names in a grid: what the network is about to see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from yoloscope.models.errors import ConfigError
from yoloscope.training.build import build_network
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.augment.color_jitter import shift_hsv
from yoloscope.training.data.augment.geometry import resize
from yoloscope.training.data.sample import Sample
from yoloscope.training.data.splits import open_train
from yoloscope.training.train import training_data
from yoloscope.training.visualize.drawing import Exhibit, Scene, draw_exhibit, pixel_exhibits
from yoloscope.training.visualize.network import network_exhibits
from yoloscope.training.visualize.targets import target_exhibits


def exhibits(scene: Scene) -> Iterator[Exhibit]:
    """Yield what each item does to the pictures of a scene, at the run's strength or, where it is off, a usual one."""
    yield from pixel_exhibits(scene)
    yield from network_exhibits(scene)
    yield from target_exhibits(scene)


def write_bags(config: TrainingConfig, data: Path, folder: Path) -> list[Path]:
    """Write ``ITEM.png`` for every item into a folder and return the files; raise YoloscopeError for unusable data."""
    scene = Scene.open(config, data)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for exhibit in exhibits(scene):
        written.append(folder / f"{exhibit.name}.png")
        draw_exhibit(exhibit).save(written[-1])
    return written


_GAP = 4
_PAPER = (32, 32, 32)
_GOLDEN_TURN = 0.61803398875


def contact_sheet(
    samples: Sequence[Sample], class_names: Sequence[str], columns: int | None = None, cell_px: int = 320
) -> Image.Image:
    """Return an RGB picture of all samples, row by row.

    Each is shrunk or enlarged with its aspect into a cell of ``cell_px``; ``columns`` defaults to a square grid. An
    object of weight below 1 says so; a class id without a name appears as a number.
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(samples))))
    rows = max(1, math.ceil(len(samples) / columns))
    size = (columns * (cell_px + _GAP) + _GAP, rows * (cell_px + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    for index, sample in enumerate(samples):
        row, column = divmod(index, columns)
        cell = draw_sample(sample, class_names, cell_px)
        left = _GAP + column * (cell_px + _GAP) + (cell_px - cell.width) // 2
        top = _GAP + row * (cell_px + _GAP) + (cell_px - cell.height) // 2
        sheet.paste(cell, (left, top))
    return sheet


def draw_sample(sample: Sample, class_names: Sequence[str], longest_side_px: int) -> Image.Image:
    """Return one picture at a size with its boxes, each in the colour of its class.

    The name stands above its box, inside where there is no room.
    """
    scale = longest_side_px / max(sample.width, sample.height)
    shown = resize(sample, max(1, round(sample.width * scale)), max(1, round(sample.height * scale)))
    picture = Image.fromarray(shown.image)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11)
    for box, class_id, weight in zip(shown.boxes_xyxy_px, shown.class_ids, shown.weights, strict=True):
        colour = class_colour(int(class_id))
        x1, y1, x2, y2 = (float(v) for v in box)
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        name = class_names[class_id] if 0 <= class_id < len(class_names) else str(class_id)
        text = name if weight == 1 else f"{name} x {weight:.2f}"
        left, top, right, bottom = draw.textbbox((x1 + 2, y1 + 1), text, font=font)
        lift = bottom - y1 + 1 if y1 > bottom - y1 else 0
        draw.rectangle((left - 2, top - 1 - lift, right + 1, bottom + 1 - lift), fill=colour)
        draw.text((x1 + 2, y1 + 1 - lift), text, fill=(0, 0, 0), font=font)
    return picture


def class_colour(class_id: int) -> tuple[int, int, int]:
    """Return a bright RGB colour; neighbouring ids lie far apart on the colour wheel."""
    red = np.array([[[255, 64, 64]]], np.uint8)
    r, g, b = shift_hsv(red, class_id * _GOLDEN_TURN, 1, 1)[0, 0]
    return int(r), int(g), int(b)


_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def preview(config: TrainingConfig, data: Path) -> Image.Image:
    """Return the pictures of the first optimiser step with their boxes and class names."""
    train = open_train(config, data)
    pictures = training_data(config, build_network(config.replace(start=None), train).spec, train)
    samples = [pictures.pictures[ticket].sample for ticket in pictures.plan.tickets(0)]
    return contact_sheet(samples, train.class_names)


def write_preview(config: TrainingConfig, data: Path, target: Path) -> None:
    """Write what ``preview`` returns; raise ConfigError for a file type that is none of pictures."""
    if target.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--show-batch: expected a file ending in {', '.join(_SUFFIXES)}, got {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    preview(config, data).save(target)
