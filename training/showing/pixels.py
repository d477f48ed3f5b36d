"""Exhibits of what is done to pictures before the network sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.config import ColourConfig
from training.recipe import build_shapes
from training.showing.panel import Exhibit, Panel
from training.showing.scene import PANEL_PX, Scene


def pixel_exhibits(scene: Scene) -> Iterator[Exhibit]:
    """Yield one exhibit of every augmentation, at the run's strength, or at the usual one where it is off."""
    augment = scene.config.augment
    jitter, scales = augment.crop_jitter or 0.3, augment.random_scale or (0.5, 2.0)
    colour = (augment.colour or ColourConfig()).model_dump()
    cutmix, mixup = (
        {"cutmix": 1.0, "cutmix_alpha": augment.cutmix_alpha},
        {"mixup": 1.0, "mixup_alpha": augment.mixup_alpha},
    )
    for name, sentence, switches in (
        ("mosaic", "Four pictures in one: objects are smaller, and every batch shows more of them.", {"mosaic": 1.0}),
        ("cutmix", "A patch of another picture, with what of its objects it shows.", cutmix),
        ("mixup", "Two pictures on top of each other, their objects at their share.", mixup),
        ("flip_horizontal", "Mirrored left to right.", {"flip_horizontal": 1.0}),
        ("flip_vertical", "Mirrored top to bottom.", {"flip_vertical": 1.0}),
        ("crop_jitter", f"Every edge moves in or out by up to {jitter:.0%} of the side.", {"crop_jitter": jitter}),
        ("random_scale", f"Zoomed by {scales[0]:g} to {scales[1]:g}, the aspect kept.", {"random_scale": scales}),
        ("colour", "Hue turned, saturation and exposure multiplied.", {"colour": colour}),
    ):
        yield _before_and_after(scene, name, sentence, switches)
    yield _random_shapes(scene)


def _before_and_after(scene: Scene, name: str, sentence: str, switches: dict[str, Any]) -> Exhibit:
    rows = [
        (scene.panel(scene.sample(ticket), "without"), scene.panel(scene.sample(ticket, switches), f"with {name}"))
        for ticket in scene.tickets
    ]
    return Exhibit(name, sentence, rows)


def _random_shapes(scene: Scene) -> Exhibit:
    """Show one picture at the least, the base and the greatest input size, pixel by pixel alike."""
    factor = scene.config.augment.random_shapes or 1.4
    config = scene.config.replace(augment=scene.config.augment.model_dump() | {"random_shapes": factor})
    shapes = build_shapes(config, scene.network.spec)
    sizes = shapes.sizes
    base = shapes.width, shapes.height
    longest = max(sizes[-1])
    panels: list[Panel] = []
    for words, size in (("without: always", base), ("smallest", sizes[0]), ("largest", sizes[-1])):
        ticket = scene.tickets[0]._replace(width=size[0], height=size[1])
        shown_px = round(1.2 * PANEL_PX * max(size) / longest)
        panels.append(scene.panel(scene.sample(ticket), f"{words} {size[0]} x {size[1]}", shown_px))
    sentence = f"Another input size every {shapes.every} steps, between 1/{factor:g} and {factor:g} of the base."
    return Exhibit("random_shapes", sentence, [panels])
