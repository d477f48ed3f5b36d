"""Small line charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

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
