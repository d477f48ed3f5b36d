"""Pictures with their boxes and class names in a grid: what the network is about to see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.data.augment.colour_jitter import shift_hsv
from training.data.augment.geometry import resize
from training.data.sample import Sample

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
