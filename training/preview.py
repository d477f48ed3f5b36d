"""The first pictures of a run as the network will see them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from models.errors import ConfigError
from training.config import TrainingConfig
from training.data.contact_sheet import contact_sheet
from training.fit import training_data
from training.recipe import build_network
from training.splits import open_train

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def preview(config: TrainingConfig, data: Path) -> Image.Image:
    """Return the pictures of the first optimiser step with their boxes and class names."""
    train = open_train(config, data)
    pictures = training_data(config, build_network(config.replace(start=None), train).spec, train)
    samples = [pictures.pictures[ticket].sample for ticket in pictures.plan.tickets(0)]
    return contact_sheet(samples, train.class_names)


def write_preview(config: TrainingConfig, data: Path, target: Path) -> None:
    """Write what ``preview`` returns; raise ConfigError for a file type that is none of pictures."""
    if target.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--show-batch: expected a file ending in {', '.join(_SUFFIXES)}, got {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    preview(config, data).save(target)
