"""Draws docs/images/blood.jpg, a blood smear for the built-in model, and the page's smaller copy of it."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = (640, 480)
SCALE = 2
PLASMA, RED_RIM, RED, PALLOR = (210, 211, 200), (176, 124, 128), (201, 158, 152), (214, 203, 194)
CYTOPLASM, NUCLEUS, PLATELET = (196, 178, 204), (112, 96, 198), (146, 108, 172)
WHITE_CELL = (318, 236)
Point = tuple[float, float]


def _blob(center: Point, radius: float, generator: np.random.Generator, roundness: float = 0.05) -> list[Point]:
    """Return the outline of a nearly round body."""
    waves = [(k, generator.normal(0, roundness / k), generator.uniform(0, 2 * math.pi)) for k in (2, 3, 4)]
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    radii = radius * (1 + sum(size * np.cos(k * angles + phase) for k, size, phase in waves))
    x, y = center[0] + radii * np.cos(angles), center[1] + radii * np.sin(angles)
    return list(zip((x * SCALE).tolist(), (y * SCALE).tolist(), strict=True))


def _scattered(
    count: int, distance: float, taken: list[tuple[Point, float]], generator: np.random.Generator
) -> list[Point]:
    """Return places at least ``distance`` apart and off what is taken, some of them cut by the border."""
    places: list[Point] = []
    for _ in range(5000):
        x, y = generator.uniform(-10, SIZE[0] + 10), generator.uniform(-10, SIZE[1] + 10)
        others = [*taken, *((place, distance) for place in places)]
        if all(math.hypot(x - ox, y - oy) > gap for (ox, oy), gap in others):
            places.append((x, y))
        if len(places) == count:
            break
    return places


def _soft(
    image: Image.Image, outline: list[Point], color: tuple[int, int, int], blur: float, opacity: int = 255
) -> None:
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon(outline, fill=opacity)
    image.paste(color, mask=mask.filter(ImageFilter.GaussianBlur(blur * SCALE)))


def _red_cell(image: Image.Image, center: Point, generator: np.random.Generator) -> None:
    radius = generator.uniform(44, 53)
    outline = generator.normal(0, 0.04)
    _soft(image, _blob(center, radius, generator, 0.06), RED_RIM, 1.2, 235)
    _soft(image, _blob(center, radius - 3.5, generator, 0.03 + abs(outline)), RED, 2.2)
    if generator.random() < 0.8:
        _soft(image, _blob(center, radius * generator.uniform(0.3, 0.5), generator, 0.1), PALLOR, 4.5, 225)


def _white_cell(image: Image.Image, center: Point, generator: np.random.Generator) -> None:
    _soft(image, _blob(center, 92, generator), CYTOPLASM, 2.5, 240)
    for angle in (0.5, 1.9, 3.4, 4.7):
        lobe = center[0] + 40 * math.cos(angle), center[1] + 40 * math.sin(angle)
        _soft(image, _blob(lobe, 31, generator, 0.12), NUCLEUS, 2.5)
    for _ in range(90):
        angle, reach = generator.uniform(0, 2 * math.pi), 85 * math.sqrt(generator.random())
        grain = center[0] + reach * math.cos(angle), center[1] + reach * math.sin(angle)
        _soft(image, _blob(grain, 2.5, generator), (150, 120, 190), 1, 90)


def _platelet(image: Image.Image, center: Point, generator: np.random.Generator) -> None:
    _soft(image, _blob(center, generator.uniform(15, 20), generator, 0.15), PLATELET, 2.2, 225)
    _soft(image, _blob(center, 7, generator, 0.2), (120, 84, 160), 2, 160)


def _film(image: Image.Image, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image as the camera of a microscope gives it: uneven light, a little blur, noise."""
    pixels = np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.8)), np.float32)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    light = 1.02 - 0.08 * (((columns - 330) / 640) ** 2 + ((rows - 220) / 480) ** 2)
    noisy = pixels * light[..., None] + generator.normal(0, 2.2, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def main() -> None:
    """Draw it, always the same."""
    generator = np.random.default_rng(7)
    image = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), PLASMA)
    reds = _scattered(17, 100, [(WHITE_CELL, 150)], generator)
    taken = [(WHITE_CELL, 120.0), *((place, 72.0) for place in reds)]
    for place in reds:
        _red_cell(image, place, generator)
    _white_cell(image, WHITE_CELL, generator)
    for place in _scattered(4, 60, taken, generator):
        _platelet(image, place, generator)
    film, here = Image.fromarray(_film(image, generator)), Path(__file__)
    film.save(here.with_name("blood.jpg"), quality=92)
    film.save(here.parents[2] / "app" / "web" / "blood.jpg", quality=75, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
