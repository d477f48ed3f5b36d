"""Detections drawn on their image."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import inf
from time import thread_time
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from yoloscope.models.classes import class_color, text_color_on
from yoloscope.models.detections import Detections
from yoloscope.models.errors import ImageTooLargeError
from yoloscope.models.fonts import Font, font_for
from yoloscope.models.images import DecodedImage

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]

MAX_LABELS: Final = 200
MARK: Final = "yoloscope"
"""Comment of a JPEG and Software of a PNG: by it the commands know their results from the images of others."""
_PNG_LEVEL: Final = 1
"""A photo is a quarter larger than by the usual level, and encoded in a third of the time."""
_PILLOW_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}


def draw_detections(image: DecodedImage, detections: Detections, class_names: Sequence[str]) -> Image.Image:
    """Return a copy of the image with a box per detection, the best on top.

    The best ``MAX_LABELS`` have a label of class and score; more could not be read. A name that no font can draw is
    replaced by the number of its class.
    """
    canvas = Image.fromarray(image.pixels)
    draw = ImageDraw.Draw(canvas)
    short_side = min(image.width, image.height)
    line_width = max(1, round(short_side / 220))
    text_px = max(11, round(short_side / 32))
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in detections.boxes_xyxy.tolist()]
    colors = [class_color(int(class_id)) for class_id in detections.class_ids]
    for box, color in reversed(list(zip(boxes, colors, strict=True))):
        _draw_box(draw, box, color, line_width)
    plates: list[Box] = []
    for row, (box, color) in enumerate(zip(boxes[:MAX_LABELS], colors, strict=False)):
        class_id, score = int(detections.class_ids[row]), f"{detections.scores[row]:.2f}"
        text, font = font_for(f"{class_names[class_id]} {score}", text_px, f"class {class_id} {score}")
        plates.append(_draw_label(draw, box, text, color, font, plates))
    return canvas


class _TimedFile(BytesIO):
    """A file that takes no more once its thread has worked for some seconds: it raises ImageTooLargeError."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._end = seconds, thread_time() + seconds

    def write(self, data: ReadableBuffer, /) -> int:
        if thread_time() > self._end:
            raise ImageTooLargeError(
                f"expected an image that can be encoded as PNG within {self._seconds:g} s, got one that takes longer:"
                " ask for image/jpeg, or send a smaller one"
            )
        return super().write(data)


def encode_image(image: Image.Image, media_type: str, max_seconds: float = inf) -> bytes:
    """Return the image as JPEG or PNG bytes; raises ImageTooLargeError for a PNG that takes longer to encode."""
    buffer = _TimedFile(max_seconds) if media_type == "image/png" else BytesIO()
    if media_type == "image/png":
        info = PngInfo()
        info.add_text("Software", MARK)
        image.save(buffer, "PNG", pnginfo=info, compress_level=_PNG_LEVEL)
    else:
        image.save(buffer, _PILLOW_FORMATS[media_type], quality=92, comment=MARK)
    return buffer.getvalue()


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, color: Color, width: int) -> None:
    x1, y1, x2, y2 = box
    draw.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=color, width=width)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: Box,
    text: str,
    color: Color,
    font: Font,
    taken: Sequence[Box],
) -> Box:
    """Draw a label on a plate of its class's color and return the plate."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, round((bottom - top) / 4))
    size = right - left + 2 * pad, bottom - top + 2 * pad
    plate = _place_label(box, size, draw.im.size, taken)
    draw.rectangle(plate, fill=color)
    draw.text((plate[0] + pad - left, plate[1] + pad - top), text, fill=text_color_on(color), font=font)
    return plate


def _place_label(box: Box, size: tuple[float, float], canvas: tuple[int, int], taken: Sequence[Box]) -> Box:
    """Return the first free place: above the box, inside at its top, below it, inside at its bottom; left, then right.

    Places are kept within the image; where all are taken the first one is used.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    places = [
        _shifted_inside((x, y, x + width, y + height), canvas)
        for x in (x1, x2 - width)
        for y in (y1 - height, y1, y2, y2 - height)
    ]
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])


def _shifted_inside(place: Box, canvas: tuple[int, int]) -> Box:
    dx = max(-place[0], 0.0) or min(canvas[0] - 1 - place[2], 0.0)
    dy = max(-place[1], 0.0) or min(canvas[1] - 1 - place[3], 0.0)
    return place[0] + dx, place[1] + dy, place[2] + dx, place[3] + dy


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
