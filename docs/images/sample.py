"""Draws docs/images/sample.png, the project's own sample image: `python docs/images/sample.py`."""

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = (960, 640)
SCALE = 2
Point = tuple[float, float]


def _polygon(center: Point, radius: float, sides: int, turn: float) -> list[Point]:
    return [
        (
            center[0] + radius * math.cos(turn + 2 * math.pi * k / sides),
            center[1] + radius * math.sin(turn + 2 * math.pi * k / sides),
        )
        for k in range(sides)
    ]


def _background() -> Image.Image:
    width, height = SIZE[0] * SCALE, SIZE[1] * SCALE
    sky = Image.linear_gradient("L").resize((width, height))
    top, bottom = Image.new("RGB", sky.size, (96, 150, 214)), Image.new("RGB", sky.size, (226, 232, 236))
    image = Image.composite(bottom, top, sky)
    draw = ImageDraw.Draw(image)
    horizon = int(height * 0.72)
    for k in range(9):
        x = k * width / 8 - width / 16
        peak = horizon - (90 + 70 * math.sin(2.3 * k)) * SCALE
        draw.polygon([(x - 190 * SCALE, horizon), (x, peak), (x + 190 * SCALE, horizon)], fill=(104, 134, 112))
    draw.rectangle([0, horizon, width, height], fill=(98, 132, 74))
    draw.polygon(
        [(0, height), (width * 0.42, horizon), (width * 0.5, horizon), (width * 0.75, height)], fill=(88, 88, 92)
    )
    return image.filter(ImageFilter.GaussianBlur(3 * SCALE))


def _stop_sign(image: Image.Image, center: Point, radius: float) -> None:
    draw = ImageDraw.Draw(image)
    x, y = center
    draw.rectangle([x - 0.06 * radius, y, x + 0.06 * radius, y + 3.2 * radius], fill=(150, 152, 156))
    for share, color in ((1.0, (120, 20, 22)), (0.98, (246, 246, 246)), (0.9, (196, 28, 34))):
        draw.polygon(_polygon(center, radius * share, 8, math.pi / 8), fill=color)
    font = ImageFont.load_default(size=0.58 * radius)
    draw.text(center, "STOP", font=font, fill=(250, 250, 250), anchor="mm", stroke_width=round(0.03 * radius))


def _clock(image: Image.Image, center: Point, radius: float) -> None:
    draw = ImageDraw.Draw(image)
    x, y = center
    draw.rectangle([x - 0.14 * radius, y, x + 0.14 * radius, y + 3.4 * radius], fill=(38, 44, 46))
    for share, color in ((1.0, (28, 32, 34)), (0.88, (244, 243, 236))):
        r = radius * share
        draw.ellipse([x - r, y - r, x + r, y + r], fill=color)
    font = ImageFont.load_default(size=0.2 * radius)
    for hour, (px, py) in enumerate(_polygon(center, 0.7 * radius, 12, -math.pi / 2)):
        draw.text((px, py), str(hour or 12), font=font, fill=(24, 24, 24), anchor="mm")
    for share, turn, width in ((0.42, -0.55, 0.07), (0.62, 0.5, 0.045)):
        tip = (x + radius * share * math.cos(turn), y + radius * share * math.sin(turn))
        draw.line([center, tip], fill=(20, 20, 20), width=round(width * radius))
    r = 0.06 * radius
    draw.ellipse([x - r, y - r, x + r, y + r], fill=(20, 20, 20))


def _traffic_light(image: Image.Image, top_left: Point, width: float) -> None:
    draw = ImageDraw.Draw(image)
    x, y = top_left
    draw.rectangle([x + 0.42 * width, y, x + 0.58 * width, y + 6 * width], fill=(52, 56, 58))
    draw.rounded_rectangle([x, y, x + width, y + 2.7 * width], radius=0.16 * width, fill=(26, 30, 30))
    for k, color in enumerate(((236, 42, 36), (92, 76, 22), (22, 70, 38))):
        cx, cy, r = x + width / 2, y + (0.5 + 0.85 * k) * width, 0.32 * width
        draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=color)


def draw_sample() -> Image.Image:
    """Return the image: a street with a stop sign, a clock on a post and a traffic light."""
    image = _background()
    _stop_sign(image, (250 * SCALE, 235 * SCALE), 118 * SCALE)
    _clock(image, (560 * SCALE, 220 * SCALE), 104 * SCALE)
    _traffic_light(image, (780 * SCALE, 120 * SCALE), 78 * SCALE)
    noise = Image.effect_noise(image.size, 14).convert("RGB")
    return Image.blend(image, noise, 0.04).resize(SIZE, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw_sample().save(Path(__file__).with_name("sample.jpg"), quality=90)
