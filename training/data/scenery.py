"""Backgrounds of generated scenes: a colour gradient under soft noise of several scales and fine grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NOISE_CELLS = (3, 7, 17)


def paint_background(width: int, height: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a picture float32 [height, width, 3] in 0..1."""
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
