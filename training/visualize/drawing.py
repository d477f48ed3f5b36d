"""Figures of augmentations: images of a data set with one thing done to them, captions and line charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from yoloscope.models.classes import class_color, text_color_on
from yoloscope.models.fonts import font_for
from yoloscope.models.network import Network
from yoloscope.models.structures import GroundTruth
from yoloscope.training.build import build_network
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.augment.geometry import resize
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.data.loader import Loaded, SampleKey, collate
from yoloscope.training.data.sample import Sample
from yoloscope.training.data.splits import open_train
from yoloscope.training.train import training_data

_GAP = 10
_PAPER, _INK, _QUIET = (250, 250, 250), (20, 20, 20), (105, 105, 105)


@dataclass(frozen=True)
class Panel:
    """An image and the words under it."""

    image: Image.Image
    words: str


@dataclass(frozen=True)
class Figure:
    """Figure of one item: its name, one sentence, and rows of panels, the first of a row without the item."""

    name: str
    sentence: str
    rows: Sequence[Sequence[Panel]]


def draw_figure(exhibit: Figure) -> Image.Image:
    """Return the exhibit as one RGB image."""
    title, text, small = (ImageFont.load_default(size=size) for size in (20, 14, 13))
    line_height = 20
    widths = [sum(panel.image.width + _GAP for panel in row) + _GAP for row in exhibit.rows]
    width = max([*widths, 360])
    sentences = _wrapped(exhibit.sentence, text, width - 2 * _GAP)
    top = _GAP + 28 + line_height * len(sentences) + _GAP
    heights = [max(panel.image.height for panel in row) + line_height + _GAP for row in exhibit.rows]
    sheet = Image.new("RGB", (width, top + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), exhibit.name, fill=_INK, font=title)
    for index, line in enumerate(sentences):
        draw.text((_GAP, _GAP + 28 + line_height * index), line, fill=_INK, font=text)
    for row, height in zip(exhibit.rows, heights, strict=True):
        left = _GAP
        for panel in row:
            sheet.paste(panel.image, (left, top))
            draw.text((left, top + panel.image.height + 1), panel.words, fill=_QUIET, font=small)
            left += panel.image.width + _GAP
        top += height
    return sheet


def _wrapped(sentence: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Return the lines that a sentence takes."""
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


COLORS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14))
_MARGIN = 46
_FEW = 6


def chart(
    lines: Mapping[str, Sequence[tuple[float, float]]], x_name: str, width: int = 420, height: int = 320
) -> Image.Image:
    """Return lines of points (x, y) in one frame that holds them all, each named in its color."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=12)
    points = [point for line in lines.values() for point in line]
    x1, x2 = _bounds([x for x, _ in points])
    y1, y2 = _bounds([y for _, y in points])
    frame = _MARGIN, 8 + 16 * len(lines), width - 20, height - 36

    def at(x: float, y: float) -> tuple[float, float]:
        across, down = (x - x1) / (x2 - x1), (y2 - y) / (y2 - y1)
        return frame[0] + across * (frame[2] - frame[0]), frame[1] + down * (frame[3] - frame[1])

    draw.rectangle(frame, outline=(180, 180, 180))
    for y in (y1, (y1 + y2) / 2, y2):
        draw.line((at(x1, y), at(x2, y)), fill=(225, 225, 225))
        draw.text((4, at(x1, y)[1] - 7), f"{y:.3g}", fill=(90, 90, 90), font=font)
    places = sorted({x for x, _ in points})
    for x in places if 1 < len(places) <= _FEW else (x1, (x1 + x2) / 2, x2):
        draw.text((at(x, y1)[0] - 10, frame[3] + 3), f"{x:.3g}", fill=(90, 90, 90), font=font)
    draw.text((frame[0], height - 17), x_name, fill=(90, 90, 90), font=font)
    for index, (name, line) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        draw.text((frame[0], 4 + 16 * index), name, fill=color, font=font)
        draw.line([at(x, y) for x, y in line], fill=color, width=2)
        if len(line) <= 12:
            for x, y in line:
                left, top = at(x, y)
                draw.ellipse((left - 3, top - 3, left + 3, top + 3), fill=color)
    return image


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest, apart from each other."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


PANEL_PX = 300
_UNALTERED: dict[str, object] = {"mosaic": 0.0, "flip_horizontal": 0.0, "color": None}


@dataclass(frozen=True)
class Scene:
    """A run's configuration and its training images."""

    config: TrainingConfig
    dataset: DetectionDataset

    @classmethod
    def open(cls, config: TrainingConfig, data: Path) -> Scene:
        """Open the training split; raise DatasetError where it cannot be used."""
        return cls(config, open_train(config, data))

    @cached_property
    def network(self) -> Network:
        """The network of the run as it starts."""
        return build_network(self.config, self.dataset)

    @cached_property
    def sample_keys(self) -> tuple[SampleKey, ...]:
        """Two images of the first step, those with objects first."""
        return self._first(2)

    def _first(self, number: int) -> tuple[SampleKey, ...]:
        """Return the first images at the base size, of those of the first step, those with objects first."""
        width, height = self.config.input_size
        plan = training_data(self.config, self.network.spec, self.dataset).plan
        drawn = [key._replace(width=width, height=height) for key in plan.sample_keys(0)]
        drawn.sort(key=lambda key: not len(self.dataset.images[key.image].labels.objects))
        return tuple(drawn[:number])

    def sample(self, key: SampleKey, switches: Mapping[str, object] | None = None) -> Sample:
        """Return an image as network input, with nothing but the given keys of ``augment`` switched on."""
        config = self.config.replace(augment=_UNALTERED | dict(switches or {}))
        return training_data(config, self.network.spec, self.dataset).images[key].sample

    def batch(self, number: int = 2) -> tuple[Tensor, GroundTruth]:
        """Return the first images, unaltered, as float [B, 3, H, W] in 0..1, with their objects."""
        batch = collate([Loaded(self.sample(key), ()) for key in self._first(number)])
        return batch.images.permute(0, 3, 1, 2).float() / 255, batch.ground_truth

    def panel(self, sample: Sample, words: str, longest_side_px: int = PANEL_PX) -> Panel:
        """Return an image with its boxes."""
        return Panel(draw_sample(sample, self.dataset.class_names, longest_side_px), words)


def image_of(values: Tensor, longest_side_px: int = PANEL_PX) -> Image.Image:
    """Return float [3, H, W] in 0..1 as an image of a size, every pixel a square where it is enlarged."""
    levels = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(levels))
    scale = longest_side_px / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)


_SHEET_GAP = 4
_SHEET_PAPER = (32, 32, 32)


def contact_sheet(
    samples: Sequence[Sample], class_names: Sequence[str], columns: int | None = None, cell_px: int = 320
) -> Image.Image:
    """Return an RGB image of all samples, row by row.

    Each is shrunk or enlarged with its aspect into a cell of ``cell_px``; ``columns`` defaults to a square grid. An
    object of weight below 1 says so; a class id without a name appears as a number.
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(samples))))
    rows = max(1, math.ceil(len(samples) / columns))
    size = (columns * (cell_px + _SHEET_GAP) + _SHEET_GAP, rows * (cell_px + _SHEET_GAP) + _SHEET_GAP)
    sheet = Image.new("RGB", size, _SHEET_PAPER)
    for index, sample in enumerate(samples):
        row, column = divmod(index, columns)
        cell = draw_sample(sample, class_names, cell_px)
        left = _SHEET_GAP + column * (cell_px + _SHEET_GAP) + (cell_px - cell.width) // 2
        top = _SHEET_GAP + row * (cell_px + _SHEET_GAP) + (cell_px - cell.height) // 2
        sheet.paste(cell, (left, top))
    return sheet


def draw_sample(sample: Sample, class_names: Sequence[str], longest_side_px: int) -> Image.Image:
    """Return one image at a size with its boxes, each in the color of its class.

    The name stands above its box, inside where there is no room.
    """
    scale = longest_side_px / max(sample.width, sample.height)
    shown = resize(sample, max(1, round(sample.width * scale)), max(1, round(sample.height * scale)))
    image = Image.fromarray(shown.image)
    draw = ImageDraw.Draw(image)
    for box, class_id, weight in zip(shown.boxes_xyxy_px, shown.class_ids, shown.weights, strict=True):
        color = class_color(int(class_id))
        x1, y1, x2, y2 = (float(v) for v in box)
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=2)
        name = class_names[class_id] if 0 <= class_id < len(class_names) else str(class_id)
        ending = "" if weight == 1 else f" x {weight:.2f}"
        text, font = font_for(name + ending, 11, f"class {class_id}{ending}")
        left, top, right, bottom = draw.textbbox((x1 + 2, y1 + 1), text, font=font)
        lift = bottom - y1 + 1 if y1 > bottom - y1 else 0
        draw.rectangle((left - 2, top - 1 - lift, right + 1, bottom + 1 - lift), fill=color)
        draw.text((x1 + 2, y1 + 1 - lift), text, fill=text_color_on(color), font=font)
    return image
