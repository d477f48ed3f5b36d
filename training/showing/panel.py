"""Pictures side by side under a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

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
