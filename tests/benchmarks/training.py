"""What a training step is made of: ``python -m tests.benchmarks.training [DATA] [--side 320] [--batch 8] [--steps 8]``.

The floor is the network alone: forward, backward of the sum of its heads, and the optimiser, on one synthetic batch.
Above it stand the same with the loss, and whole steps of the trainer with reading, augmentation and logging. Rounds of
the first two alternate; the figures are medians of wall time. Without DATA digits are generated.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

import training.fit
from models.detector import scale_pixels
from tests.benchmarks.report import heading
from training.config import TrainingConfig
from training.config_names import find_config
from training.data.digits import generate
from training.data.loading import Batch, collate
from training.fit import fit, open_splits, training_data, use_bf16
from training.losses import compute_loss
from training.recipe import build_network, build_optimizer


class Clock(lightning.Callback):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_arguments: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median step; the first ones fill the workers' queues."""
        return statistics.median(after - before for before, after in zip(self.ends[2:], self.ends[3:], strict=False))


def alone(config: TrainingConfig, data: Path, steps: int) -> tuple[float, float]:
    """Return the seconds of a step of the network alone, and with the loss."""
    train = open_splits(config, data).train
    network = build_network(config, train).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = training_data(config, network.spec, train)
    batch = collate([pictures.pictures[ticket] for ticket in pictures.plan.tickets(0)])
    optimizer = build_optimizer(network, config.optimizer)

    def step(loss_of: Callable[[tuple[Tensor, ...]], Tensor]) -> float:
        start = time.perf_counter()
        images = scale_pixels(batch.images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bf16(config.precision, "cpu")):
            loss = loss_of(network(images))
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it so
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - start

    rounds = [(step(_sum), step(lambda heads: _loss(heads, batch, network.spec))) for _ in range(steps + 2)][2:]
    return statistics.median(bare for bare, _ in rounds), statistics.median(full for _, full in rounds)


def _sum(heads: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([head.float().mean() for head in heads]).sum()


def _loss(heads: tuple[Tensor, ...], batch: Batch, spec: Any) -> Tensor:
    return compute_loss(heads, batch.ground_truth, spec, preset=None).total


def whole(config: TrainingConfig, data: Path) -> float:
    """Return the seconds of a step of the trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        fit(config, data, Path(folder), extra_callbacks=(clock,))
    return clock.seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    training.fit.export_best = lambda *_: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or generate(Path(folder) / "digits", {"train": 4 * options.batch, "val": 1})
        config = find_config("bccd-tiny").replace(
            input_size=(options.side, options.side),
            batch_size=options.batch,
            epochs=1,
            data={"val": None, "cache_mb": 300, "workers": options.workers},
        )
        pictures = len(open_splits(config, data).train)
        config = config.replace(epochs=-(-(options.steps + 3) * options.batch // pictures))
        bare, with_loss = alone(config, data, options.steps)
        rows = (("network alone", bare), ("with the loss", with_loss), ("whole step", whole(config, data)))
    print(heading(f"Training step, yolov4-tiny, {options.batch} x {options.side} px", "torch", "lightning"))
    for name, seconds in rows:
        print(f"{name:<16}{seconds * 1e3:>9.1f} ms{seconds / bare:>8.2f}x")


if __name__ == "__main__":
    main()
