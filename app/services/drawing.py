"""Detections drawn on their picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from app.services.images import Picture
from models.structures import Detections

Colour = tuple[int, int, int]

_GOLDEN_RATIO: Final = 0.618033988749895
_PILLOW_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class, the same in every picture; neighbours in the list get distant hues."""
    hue = (0.08 + class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.95, 0.75, 0.85)[class_id % 3], (0.95, 0.85, 1.0)[class_id // 3 % 3])
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_detections(picture: Picture, detections: Detections, class_names: Sequence[str]) -> Image.Image:
    """Return a copy of the picture with a box and a label (class and score) per detection, the best on top."""
    image = Image.fromarray(picture.pixels)
    draw = ImageDraw.Draw(image)
    short_side = min(picture.width, picture.height)
    line_width = max(1, round(short_side / 220))
    font = ImageFont.load_default(size=max(11, round(short_side / 32)))
    for row in reversed(range(len(detections))):
        x1, y1, x2, y2 = detections.boxes_xyxy[row].tolist()
        class_id = int(detections.class_ids[row])
        colour = class_colour(class_id)
        _draw_box(draw, (x1, y1, x2, y2), colour, line_width)
        text = f"{class_names[class_id]} {detections.scores[row]:.2f}"
        _draw_label(draw, (x1, y1, x2, y2), text, colour, font)
    return image


def encode_picture(image: Image.Image, media_type: str) -> bytes:
    """Return the picture as JPEG or PNG bytes."""
    buffer = BytesIO()
    image.save(buffer, _PILLOW_FORMATS[media_type], quality=92)
    return buffer.getvalue()


def _draw_box(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: Colour, width: int) -> None:
    x1, y1, x2, y2 = box
    draw.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour, width=width)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    text: str,
    colour: Colour,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw the label on a plate above the box, or inside where there is no room, always within the picture."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, round((bottom - top) / 4))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    picture_width, picture_height = draw.im.size
    x = min(max(box[0], 0), max(picture_width - width, 0))
    y = box[1] - height if box[1] >= height else max(box[1], 0)
    y = min(y, max(picture_height - height, 0))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + pad - left, y + pad - top), text, fill=_readable_on(colour), font=font)


def _readable_on(colour: Colour) -> Colour:
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
