"""Generated data set of handwritten digits in painted scenes, for demos and tests without a download.

The digits are the 1,797 of 8 x 8 pixels that come with scikit-learn (Alpaydin and Kaynak, Optical Recognition of
Handwritten Digits, UCI, 1998).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yoloscope.models.errors import ConfigError
from yoloscope.models.files import fill_folder
from yoloscope.training.data.sample import Sample

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_INK_FLOOR = 0.25
_PLACING_ATTEMPTS = 30
_NOISE_CELLS = (3, 7, 17)


@dataclass(frozen=True)
class DigitPool:
    """Digits to draw from: ``ink`` float32 [D, 8, 8] in 0..1 and ``class_ids`` int64 [D]."""

    ink: NDArray[np.float32]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True)
class SceneOptions:
    """Settings of the scenes; sizes in pixels, ``max_overlap`` as a share of the smaller of two boxes."""

    width: int = 192
    height: int = 192
    min_digits: int = 1
    max_digits: int = 8
    min_digit_px: int = 16
    max_digit_px: int = 72
    min_contrast: float = 0.35
    max_overlap: float = 0.1
    max_tilt_degrees: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_digits <= self.max_digits:
            raise ConfigError(f"expected 0 <= min_digits <= max_digits, got {self.min_digits} and {self.max_digits}")
        if not 8 <= self.min_digit_px <= self.max_digit_px <= min(self.width, self.height) / 1.5:
            raise ConfigError(
                "expected 8 <= min_digit_px <= max_digit_px <= two thirds of the scene, "
                f"got {self.min_digit_px}, {self.max_digit_px} and {self.width} x {self.height}"
            )


def load_digit_pools(validation_share: float = 0.2) -> dict[str, DigitPool]:
    """Return the pools ``train`` and ``val``, which share no digit. Raise ConfigError without scikit-learn."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ConfigError("the generated digits need scikit-learn: pip install 'yoloscope[digits]'") from error
    bunch = datasets.load_digits()
    ink = np.asarray(bunch.images / 16, np.float32)
    class_ids = np.asarray(bunch.target, np.int64)
    cut = round(len(ink) * (1 - validation_share))
    return {"train": DigitPool(ink[:cut], class_ids[:cut]), "val": DigitPool(ink[cut:], class_ids[cut:])}


def draw_scene(pool: DigitPool, options: SceneOptions, generator: np.random.Generator) -> Sample:
    """Return one scene; each box is the tight frame of its digit's visible ink, and digits barely overlap.

    A digit that finds no free place is left out, so that a crowded scene may hold fewer than were drawn.
    """
    canvas = paint_background(options.width, options.height, generator)
    boxes: list[tuple[int, int, int, int]] = []
    class_ids: list[int] = []
    for _ in range(int(generator.integers(options.min_digits, options.max_digits + 1))):
        row = int(generator.integers(len(pool.ink)))
        alpha = _written(pool.ink[row], options, generator)
        box = _free_place(alpha, boxes, options, generator)
        if box is not None:
            canvas = _inked(canvas, alpha, box, options.min_contrast, generator)
            boxes.append(box)
            class_ids.append(int(pool.class_ids[row]))
    return Sample.of(np.rint(canvas * 255).astype(np.uint8), boxes, class_ids)


def generate(
    folder: Path,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    options: SceneOptions | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Path:
    """Write a data set in the YOLO layout and return its ``data.yaml``.

    ``counts`` gives the images of ``train`` (default 400) and ``val`` (100). Image i of a split depends on the
    seed, the split and i alone. ``on_image`` is called after each, for a progress bar. Raise ConfigError for an
    unknown split, or a folder that holds anything; OutputError where it cannot be written: it is left as it was.
    """
    sizes = {"train": 400, "val": 100} if counts is None else dict(counts)
    pools = load_digit_pools()
    if unknown := sizes.keys() - pools.keys():
        raise ConfigError(f"expected counts for {', '.join(pools)}, got {', '.join(sorted(unknown))}")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"expected an empty or new folder, got {folder}")
    description = folder / "data.yaml"
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASS_NAMES))
    with fill_folder(folder):
        for position, split in enumerate(pools):
            (folder / "images" / split).mkdir(parents=True)
            (folder / "labels" / split).mkdir(parents=True)
            for index in range(sizes.get(split, 0)):
                generator = np.random.default_rng((seed, position, index))
                _write(draw_scene(pools[split], options or SceneOptions(), generator), folder, split, f"{index:06d}")
                on_image()
        description.write_text(f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}", encoding="utf-8")
    return description


def paint_background(width: int, height: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a background float32 [height, width, 3] in 0..1: a gradient, soft noise and grain."""
    first, second = generator.uniform(0.05, 0.95, (2, 3))
    angle = generator.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, width)[None] * np.cos(angle) + np.linspace(-1, 1, height)[:, None] * np.sin(angle)
    blend = np.clip(0.5 + across / 2, 0, 1)[..., None] * generator.uniform(0.1, 0.6)
    canvas = first + blend * (second - first)
    for cells in _NOISE_CELLS:
        strength = generator.uniform(0, 0.12)
        canvas = canvas + strength * _soft_noise(width, height, cells, generator)[..., None]
    canvas = canvas + generator.normal(0, generator.uniform(0, 0.04), (height, width, 1))
    return np.asarray(np.clip(canvas, 0, 1), np.float32)


def _soft_noise(width: int, height: int, cells: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return noise [height, width] of about unit spread, smooth between cells x cells random values."""
    coarse = Image.fromarray(generator.normal(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _written(ink: NDArray[np.float32], options: SceneOptions, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return the opacity of a digit at a random size, stretch and tilt, trimmed to its ink."""
    height = int(generator.integers(options.min_digit_px, options.max_digit_px + 1))
    width = max(6, round(height * generator.uniform(0.75, 1.1)))
    tilt = generator.uniform(-options.max_tilt_degrees, options.max_tilt_degrees)
    small = Image.fromarray(np.pad(ink, 1))
    large = small.resize((width * 10 // 8, height * 10 // 8), Image.Resampling.BICUBIC)
    alpha = np.clip(np.asarray(large.rotate(tilt, Image.Resampling.BICUBIC), np.float32), 0, 1)
    alpha = np.where(alpha < _INK_FLOOR, 0, alpha)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return np.asarray(alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)


def _free_place(
    alpha: NDArray[np.float32],
    taken: list[tuple[int, int, int, int]],
    options: SceneOptions,
    generator: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """Return a box (x1, y1, x2, y2) in pixels for a digit, or None where none was found."""
    height, width = alpha.shape
    for _ in range(_PLACING_ATTEMPTS):
        x = int(generator.integers(options.width - width + 1))
        y = int(generator.integers(options.height - height + 1))
        box = (x, y, x + width, y + height)
        if all(_overlap_share(box, other) <= options.max_overlap for other in taken):
            return box
    return None


def _overlap_share(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Return the common area of two boxes as a share of the smaller."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / smaller


def _inked(
    canvas: NDArray[np.float32],
    alpha: NDArray[np.float32],
    box: tuple[int, int, int, int],
    min_contrast: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the canvas with a digit in a color at least ``min_contrast`` of brightness away from what is there."""
    x1, y1, x2, y2 = box
    below = canvas[y1:y2, x1:x2]
    brightness = float(below.mean())
    room = max(brightness, 1 - brightness)
    distance = generator.uniform(min(min_contrast, room), room)
    target = brightness - distance if brightness > 0.5 else brightness + distance
    color = np.clip(target + generator.uniform(-0.06, 0.06, 3), 0, 1).astype(np.float32)
    result = canvas.copy()
    result[y1:y2, x1:x2] = below + alpha[..., None] * (color - below)
    return result


def _write(scene: Sample, folder: Path, split: str, stem: str) -> None:
    Image.fromarray(scene.image).save(folder / "images" / split / f"{stem}.jpg", quality=92)
    scale = np.array((scene.width, scene.height))
    low, high = scene.boxes_xyxy_px[:, :2] / scale, scene.boxes_xyxy_px[:, 2:] / scale
    lines = [
        f"{class_id} {x:.8f} {y:.8f} {w:.8f} {h:.8f}\n"
        for class_id, (x, y), (w, h) in zip(scene.class_ids, (low + high) / 2, high - low, strict=True)
    ]
    (folder / "labels" / split / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")
