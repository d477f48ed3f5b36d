"""What the exhibits are made from: pictures of a data set, with nothing or one thing done to them.

Exhibits of what is done to pictures before the network sees them.

Pictures side by side under a caption.

Small line charts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from yoloscope.models.network import Network
from yoloscope.models.structures import GroundTruth
from yoloscope.training.build import build_network, build_shapes
from yoloscope.training.config import ColourConfig, TrainingConfig
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.data.loader import Loaded, Ticket, collate
from yoloscope.training.data.sample import Sample
from yoloscope.training.data.splits import open_train
from yoloscope.training.train import training_data
from yoloscope.training.visualize.augmentations import draw_sample


def pixel_exhibits(scene: Scene) -> Iterator[Exhibit]:
    """Yield one exhibit of every augmentation, at the run's strength, or at the usual one where it is off."""
    augment = scene.config.augment
    jitter, scales = augment.crop_jitter or 0.3, augment.random_scale or (0.5, 2.0)
    colour = (augment.colour or ColourConfig()).model_dump()
    cutmix, mixup = (
        {"cutmix": 1.0, "cutmix_alpha": augment.cutmix_alpha},
        {"mixup": 1.0, "mixup_alpha": augment.mixup_alpha},
    )
    for name, sentence, switches in (
        ("mosaic", "Four pictures in one: objects are smaller, and every batch shows more of them.", {"mosaic": 1.0}),
        ("cutmix", "A patch of another picture, with what of its objects it shows.", cutmix),
        ("mixup", "Two pictures on top of each other, their objects at their share.", mixup),
        ("flip_horizontal", "Mirrored left to right.", {"flip_horizontal": 1.0}),
        ("flip_vertical", "Mirrored top to bottom.", {"flip_vertical": 1.0}),
        ("crop_jitter", f"Every edge moves in or out by up to {jitter:.0%} of the side.", {"crop_jitter": jitter}),
        ("random_scale", f"Zoomed by {scales[0]:g} to {scales[1]:g}, the aspect kept.", {"random_scale": scales}),
        ("colour", "Hue turned, saturation and exposure multiplied.", {"colour": colour}),
    ):
        yield _before_and_after(scene, name, sentence, switches)
    yield _random_shapes(scene)


def _before_and_after(scene: Scene, name: str, sentence: str, switches: dict[str, Any]) -> Exhibit:
    rows = [
        (scene.panel(scene.sample(ticket), "without"), scene.panel(scene.sample(ticket, switches), f"with {name}"))
        for ticket in scene.tickets
    ]
    return Exhibit(name, sentence, rows)


def _random_shapes(scene: Scene) -> Exhibit:
    """Show one picture at the least, the base and the greatest input size, pixel by pixel alike."""
    factor = scene.config.augment.random_shapes or 1.4
    config = scene.config.replace(augment=scene.config.augment.model_dump() | {"random_shapes": factor})
    shapes = build_shapes(config, scene.network.spec)
    sizes = shapes.sizes
    base = shapes.width, shapes.height
    longest = max(sizes[-1])
    panels: list[Panel] = []
    for words, size in (("without: always", base), ("smallest", sizes[0]), ("largest", sizes[-1])):
        ticket = scene.tickets[0]._replace(width=size[0], height=size[1])
        shown_px = round(1.2 * PANEL_PX * max(size) / longest)
        panels.append(scene.panel(scene.sample(ticket), f"{words} {size[0]} x {size[1]}", shown_px))
    sentence = f"Another input size every {shapes.every} steps, between 1/{factor:g} and {factor:g} of the base."
    return Exhibit("random_shapes", sentence, [panels])


_GAP = 10
_PAPER, _INK, _QUIET = (250, 250, 250), (20, 20, 20), (105, 105, 105)


@dataclass(frozen=True)
class Panel:
    """A picture and the words under it."""

    picture: Image.Image
    words: str


@dataclass(frozen=True)
class Exhibit:
    """What one item does: its name, one sentence, and rows of panels, the first of a row without the item."""

    name: str
    sentence: str
    rows: Sequence[Sequence[Panel]]


def draw_exhibit(exhibit: Exhibit) -> Image.Image:
    """Return the exhibit as one RGB picture."""
    title, text, small = (ImageFont.load_default(size=size) for size in (20, 14, 13))
    line_height = 20
    widths = [sum(panel.picture.width + _GAP for panel in row) + _GAP for row in exhibit.rows]
    width = max([*widths, 360])
    sentences = _wrapped(exhibit.sentence, text, width - 2 * _GAP)
    top = _GAP + 28 + line_height * len(sentences) + _GAP
    heights = [max(panel.picture.height for panel in row) + line_height + _GAP for row in exhibit.rows]
    sheet = Image.new("RGB", (width, top + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), exhibit.name, fill=_INK, font=title)
    for index, line in enumerate(sentences):
        draw.text((_GAP, _GAP + 28 + line_height * index), line, fill=_INK, font=text)
    for row, height in zip(exhibit.rows, heights, strict=True):
        left = _GAP
        for panel in row:
            sheet.paste(panel.picture, (left, top))
            draw.text((left, top + panel.picture.height + 1), panel.words, fill=_QUIET, font=small)
            left += panel.picture.width + _GAP
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


COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14))
_MARGIN = 46
_FEW = 6


def chart(
    lines: Mapping[str, Sequence[tuple[float, float]]], x_name: str, width: int = 420, height: int = 320
) -> Image.Image:
    """Return lines of points (x, y) in one frame that holds them all, each named in its colour."""
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
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
        colour = COLOURS[index % len(COLOURS)]
        draw.text((frame[0], 4 + 16 * index), name, fill=colour, font=font)
        draw.line([at(x, y) for x, y in line], fill=colour, width=2)
        if len(line) <= 12:
            for x, y in line:
                left, top = at(x, y)
                draw.ellipse((left - 3, top - 3, left + 3, top + 3), fill=colour)
    return picture


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest, apart from each other."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


PANEL_PX = 300
_UNALTERED: dict[str, object] = {"mosaic": 0.0, "flip_horizontal": 0.0, "colour": None}


@dataclass(frozen=True)
class Scene:
    """A run's configuration and its training pictures."""

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
    def tickets(self) -> tuple[Ticket, ...]:
        """Two pictures of the first step, those with objects first."""
        return self._first(2)

    def _first(self, number: int) -> tuple[Ticket, ...]:
        """Return the first pictures at the base size, of those of the first step, those with objects first."""
        width, height = self.config.input_size
        plan = training_data(self.config, self.network.spec, self.dataset).plan
        drawn = [ticket._replace(width=width, height=height) for ticket in plan.tickets(0)]
        drawn.sort(key=lambda ticket: not len(self.dataset.images[ticket.picture].labels.objects))
        return tuple(drawn[:number])

    def sample(self, ticket: Ticket, switches: Mapping[str, object] | None = None) -> Sample:
        """Return a picture as network input, with nothing but the given keys of ``augment`` switched on."""
        config = self.config.replace(augment=_UNALTERED | dict(switches or {}))
        return training_data(config, self.network.spec, self.dataset).pictures[ticket].sample

    def batch(self, number: int = 2) -> tuple[Tensor, GroundTruth]:
        """Return the first pictures, unaltered, as float [B, 3, H, W] in 0..1, with their objects."""
        batch = collate([Loaded(self.sample(ticket), ()) for ticket in self._first(number)])
        return batch.images.permute(0, 3, 1, 2).float() / 255, batch.ground_truth

    def panel(self, sample: Sample, words: str, longest_side_px: int = PANEL_PX) -> Panel:
        """Return a picture with its boxes."""
        return Panel(draw_sample(sample, self.dataset.class_names, longest_side_px), words)


def picture_of(values: Tensor, longest_side_px: int = PANEL_PX) -> Image.Image:
    """Return float [3, H, W] in 0..1 as a picture of a size, every pixel a square where it is enlarged."""
    levels = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(levels))
    scale = longest_side_px / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)
