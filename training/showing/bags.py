"""One picture for each item of the bags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.config import TrainingConfig
from training.showing.network import network_exhibits
from training.showing.panel import Exhibit, draw_exhibit
from training.showing.pixels import pixel_exhibits
from training.showing.scene import Scene
from training.showing.targets import target_exhibits


def exhibits(scene: Scene) -> Iterator[Exhibit]:
    """Yield what each item does to the pictures of a scene, at the run's strength or, where it is off, a usual one."""
    yield from pixel_exhibits(scene)
    yield from network_exhibits(scene)
    yield from target_exhibits(scene)


def write_bags(config: TrainingConfig, data: Path, folder: Path) -> list[Path]:
    """Write ``ITEM.png`` for every item into a folder and return the files; raise YoloscopeError for unusable data."""
    scene = Scene.open(config, data)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for exhibit in exhibits(scene):
        written.append(folder / f"{exhibit.name}.png")
        draw_exhibit(exhibit).save(written[-1])
    return written
