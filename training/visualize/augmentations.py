"""The first images of a run as the network will see them.

One image for each item of the freebies.

Images with their boxes and class names in a grid: what the network is about to see.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from yoloscope.models.errors import ConfigError
from yoloscope.models.files import atomic_write
from yoloscope.training.build import build_network, build_shapes
from yoloscope.training.config import ColorConfig, TrainingConfig
from yoloscope.training.data.splits import open_train
from yoloscope.training.train import training_data
from yoloscope.training.visualize.drawing import PANEL_PX, Figure, Panel, Scene, contact_sheet, draw_figure
from yoloscope.training.visualize.network import network_figures
from yoloscope.training.visualize.targets import target_figures


def figures(scene: Scene) -> Iterator[Figure]:
    """Yield what each item does to the images of a scene, at the run's strength or, where it is off, a usual one."""
    yield from pixel_figures(scene)
    yield from network_figures(scene)
    yield from target_figures(scene)


def write_freebies(config: TrainingConfig, data: Path, folder: Path) -> list[Path]:
    """Write ``ITEM.png`` for every item into a folder and return the files; raise YoloscopeError for unusable data."""
    scene = Scene.open(config, data)
    written = []
    for figure in figures(scene):
        written.append(folder / f"{figure.name}.png")
        with atomic_write(written[-1]) as temporary:
            draw_figure(figure).save(temporary)
    return written


_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def preview(config: TrainingConfig, data: Path) -> Image.Image:
    """Return the images of the first optimizer step with their boxes and class names."""
    train = open_train(config, data)
    images = training_data(config, build_network(config.replace(start=None), train).spec, train)
    samples = [images.images[key].sample for key in images.plan.sample_keys(0)]
    return contact_sheet(samples, train.class_names)


def write_preview(config: TrainingConfig, data: Path, target: Path) -> None:
    """Write what ``preview`` returns; raise ConfigError for a file type that is none of images."""
    if target.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--show-batch: expected a file ending in {', '.join(_SUFFIXES)}, got {target}")
    image = preview(config, data)
    with atomic_write(target) as temporary:
        image.save(temporary)


def pixel_figures(scene: Scene) -> Iterator[Figure]:
    """Yield one figure of every augmentation, at the run's strength, or at the usual one where it is off."""
    augment = scene.config.augment
    jitter, scales = augment.crop_jitter or 0.3, augment.random_scale or (0.5, 2.0)
    color = (augment.color or ColorConfig()).model_dump()
    cutmix, mixup = (
        {"cutmix": 1.0, "cutmix_alpha": augment.cutmix_alpha},
        {"mixup": 1.0, "mixup_alpha": augment.mixup_alpha},
    )
    for name, sentence, switches in (
        ("mosaic", "Four images in one: objects are smaller, and every batch shows more of them.", {"mosaic": 1.0}),
        ("cutmix", "A patch of another image, with what of its objects it shows.", cutmix),
        ("mixup", "Two images on top of each other, their objects at their share.", mixup),
        ("flip_horizontal", "Mirrored left to right.", {"flip_horizontal": 1.0}),
        ("flip_vertical", "Mirrored top to bottom.", {"flip_vertical": 1.0}),
        ("crop_jitter", f"Every edge moves in or out by up to {jitter:.0%} of the side.", {"crop_jitter": jitter}),
        ("random_scale", f"Zoomed by {scales[0]:g} to {scales[1]:g}, the aspect kept.", {"random_scale": scales}),
        ("color", "Hue turned, saturation and exposure multiplied.", {"color": color}),
    ):
        yield _before_and_after(scene, name, sentence, switches)
    yield _random_shapes(scene)


def _before_and_after(scene: Scene, name: str, sentence: str, switches: dict[str, Any]) -> Figure:
    rows = [
        (scene.panel(scene.sample(key), "without"), scene.panel(scene.sample(key, switches), f"with {name}"))
        for key in scene.sample_keys
    ]
    return Figure(name, sentence, rows)


def _random_shapes(scene: Scene) -> Figure:
    """Show one image at the least, the base and the greatest input size, pixel by pixel alike."""
    factor = scene.config.augment.random_shapes or 1.4
    config = scene.config.replace(augment=scene.config.augment.model_dump() | {"random_shapes": factor})
    shapes = build_shapes(config, scene.network.spec)
    sizes = shapes.sizes
    base = shapes.width, shapes.height
    longest = max(sizes[-1])
    panels: list[Panel] = []
    for words, size in (("without: always", base), ("smallest", sizes[0]), ("largest", sizes[-1])):
        key = scene.sample_keys[0]._replace(width=size[0], height=size[1])
        shown_px = round(1.2 * PANEL_PX * max(size) / longest)
        panels.append(scene.panel(scene.sample(key), f"{words} {size[0]} x {size[1]}", shown_px))
    sentence = f"Another input size every {shapes.every} steps, between 1/{factor:g} and {factor:g} of the base."
    return Figure("random_shapes", sentence, [panels])
