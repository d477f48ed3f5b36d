"""What the exhibits are made from: pictures of a data set, with nothing or one thing done to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.outline import Network
from models.structures import GroundTruth
from training.config import TrainingConfig
from training.data.contact_sheet import draw_sample
from training.data.datasets import DetectionDataset
from training.data.loading import Loaded, Ticket, collate
from training.data.sample import Sample
from training.fit import training_data
from training.recipe import build_network
from training.showing.panel import Panel
from training.splits import open_train

PANEL_PX = 300
_UNALTERED: dict[str, object] = {"mosaic": 0.0, "flip_horizontal": 0.0, "colour": None}


@dataclass(frozen=True)
class Scene:
    """A run's configuration and its training pictures."""

    config: TrainingConfig
    dataset: DetectionDataset

    @classmethod
    def open(cls, config: TrainingConfig, data: Path) -> Scene:
        """Open the training split; raise DatasetError where it cannot be used."""
        return cls(config, open_train(config, data))

    @cached_property
    def network(self) -> Network:
        """The network of the run as it starts."""
        return build_network(self.config, self.dataset)

    @cached_property
    def tickets(self) -> tuple[Ticket, ...]:
        """Two pictures of the first step, those with objects first."""
        return self._first(2)

    def _first(self, number: int) -> tuple[Ticket, ...]:
        """Return the first pictures at the base size, of those of the first step, those with objects first."""
        width, height = self.config.input_size
        plan = training_data(self.config, self.network.spec, self.dataset).plan
        drawn = [ticket._replace(width=width, height=height) for ticket in plan.tickets(0)]
        drawn.sort(key=lambda ticket: not len(self.dataset.images[ticket.picture].labels.objects))
        return tuple(drawn[:number])

    def sample(self, ticket: Ticket, switches: Mapping[str, object] | None = None) -> Sample:
        """Return a picture as network input, with nothing but the given keys of ``augment`` switched on."""
        config = self.config.replace(augment=_UNALTERED | dict(switches or {}))
        return training_data(config, self.network.spec, self.dataset).pictures[ticket].sample

    def batch(self, number: int = 2) -> tuple[Tensor, GroundTruth]:
        """Return the first pictures, unaltered, as float [B, 3, H, W] in 0..1, with their objects."""
        batch = collate([Loaded(self.sample(ticket), ()) for ticket in self._first(number)])
        return batch.images.permute(0, 3, 1, 2).float() / 255, batch.ground_truth

    def panel(self, sample: Sample, words: str, longest_side_px: int = PANEL_PX) -> Panel:
        """Return a picture with its boxes."""
        return Panel(draw_sample(sample, self.dataset.class_names, longest_side_px), words)


def picture_of(values: Tensor, longest_side_px: int = PANEL_PX) -> Image.Image:
    """Return float [3, H, W] in 0..1 as a picture of a size, every pixel a square where it is enlarged."""
    levels = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(levels))
    scale = longest_side_px / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)
