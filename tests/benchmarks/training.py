"""What a training step is made of: ``python -m tests.benchmarks.training [DATA] [--side 320] [--threads 1]``.

The floor is the network alone: images to floats, forward, backward of the sum of its heads, and the optimizer, on one
synthetic batch. Beside it stand whole steps of the trainer with reading, augmentation, loss and logging. Both alternate
within one process, a few steps of each at a time, the first of which are not counted: they find full queues and cold
caches. The ratio is the median over the rounds, so that what else the machine does hits both alike. ``CPU`` is the same
in processor time of this process, which does not depend on who else runs. Without DATA digits are generated.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import dataloader

import yoloscope.training.module
from tests.benchmarks.report import heading
from tests.benchmarks.stopwatch import Stopwatch
from yoloscope.models.detector import scale_pixels
from yoloscope.training.build import build_optimizer
from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.config import TrainingConfig, find_config
from yoloscope.training.data.digits import generate
from yoloscope.training.data.loader import Batch
from yoloscope.training.data.splits import open_train
from yoloscope.training.module import TrainingModule
from yoloscope.training.optim.ema import WeightAverage
from yoloscope.training.train import train_network
from yoloscope.training.trainer import use_bf16

COUNTED, NOT_COUNTED = 6, 3
ALONE = ("images to floats", "forward", "backward", "optimizer")
PARTS = ("waiting for images", *ALONE, "loss", "clipping", "average of the weights", "log", "callbacks")


class Step(NamedTuple):
    """Seconds of a step, by the clock and of the processor."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Step:
        """Return where both clocks stand."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Step) -> Step:
        """Return what has passed."""
        return Step(self.wall - start.wall, self.cpu - start.cpu)


def median(steps: list[Step]) -> Step:
    """Return the median of each clock."""
    return Step(statistics.median(s.wall for s in steps), statistics.median(s.cpu for s in steps))


@dataclass
class Alternation(lightning.Callback):
    """After some steps of the trainer, makes as many of the network alone."""

    watch: Stopwatch
    alone_watch: Stopwatch = field(default_factory=Stopwatch)
    whole: list[Step] = field(default_factory=list)
    alone: list[Step] = field(default_factory=list)
    _round: list[Step] = field(default_factory=list)
    _start: Step | None = None
    _seen: int = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        assert isinstance(pl_module, TrainingModule)
        self._alone = Alone(pl_module, self.alone_watch)
        parts: list[Any] = []
        pl_module.network.register_forward_pre_hook(lambda *_: parts.append(time.perf_counter()))
        pl_module.network.register_forward_hook(lambda *_: self.watch.add("forward", time.perf_counter() - parts.pop()))

    def on_train_batch_end(self, *_arguments: Any) -> None:
        counted = self._start is not None and self._seen >= NOT_COUNTED
        if self._start is not None and counted:
            self._round.append(Step.now().since(self._start))
        self.watch.lap(counted=counted)
        self._seen += 1
        if len(self._round) == COUNTED:
            self.whole.append(median(self._round))
            self.alone.append(median([self._alone.step(counted=count > 0) for count in range(COUNTED + 1)][1:]))
            self._round, self._seen = [], 0
        self._start = Step.now()


class Alone:
    """Steps of a copy of a network on synthetic images."""

    def __init__(self, module: TrainingModule, watch: Stopwatch) -> None:
        config = module.config
        self._network: nn.Module = copy.deepcopy(module.network)
        self._optimizer = build_optimizer(self._network, config.optimizer)
        self._bf16 = use_bf16(config.precision, "cpu")
        width, height = config.input_size
        self._pixels = torch.randint(256, (config.batch_size, height, width, 3), dtype=torch.uint8)
        self._watch = watch

    def step(self, *, counted: bool) -> Step:
        """Make one."""
        start = Step.now()
        with self._watch.part("images to floats"):
            images = scale_pixels(self._pixels).contiguous(memory_format=torch.channels_last)
        with self._watch.part("forward"), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            heads: tuple[Tensor, ...] = self._network(images)
        with self._watch.part("backward"):
            torch.stack([head.float().mean() for head in heads]).sum().backward()  # type: ignore[no-untyped-call]
        with self._watch.part("optimizer"):
            self._optimizer.step()
            self._optimizer.zero_grad()
        self._watch.lap(counted=counted)
        return Step.now().since(start)


def measure(config: TrainingConfig, data: Path) -> Alternation:
    """Return the steps of a run and of its network alone, in turn."""
    watch = Stopwatch()
    optimizer = torch.optim.SGD if config.optimizer.name == "sgd" else torch.optim.AdamW
    undo = [
        watch.watch(owner, function, name)
        for owner, function, name in (
            (dataloader._BaseDataLoaderIter, "__next__", "waiting for images"),
            (yoloscope.training.module, "scale_pixels", "images to floats"),
            (Batch, "to", "images to floats"),
            (yoloscope.training.module, "compute_loss", "loss"),
            (TrainingModule, "manual_backward", "backward"),
            (nn.utils, "clip_grad_norm_", "clipping"),
            (optimizer, "step", "optimizer"),
            (optimizer, "zero_grad", "optimizer"),
            (WeightAverage, "update", "average of the weights"),
            (TrainingModule, "_log", "log"),
            (StepCallback, "on_train_batch_end", "callbacks"),
        )
    ]
    alternation = Alternation(watch)
    with tempfile.TemporaryDirectory() as folder:
        train_network(config, data, Path(folder), extra_callbacks=(alternation,))
    for function in undo:
        function()
    return alternation


def table(measured: Alternation) -> list[str]:
    """Return the lines: every part of a step alone and whole, and the sums."""
    alone, whole = median(measured.alone), median(measured.whole)
    parts = {name: (measured.alone_watch.median(name), measured.watch.median(name)) for name in PARTS}
    rest = (alone.wall - sum(a for a, _ in parts.values()), whole.wall - sum(w for _, w in parts.values()))
    parts["Lightning, and the rest"] = rest
    lines = [f"{'ms':<26}{'alone':>9}{'whole':>9}{'more':>9}{'share':>9}"]
    lines += [
        f"{name:<26}{a * 1e3:>9.1f}{w * 1e3:>9.1f}{(w - a) * 1e3:>9.1f}{(w - a) / alone.wall:>9.1%}"
        for name, (a, w) in parts.items()
    ]
    pairs = list(zip(measured.whole, measured.alone, strict=True))
    for name, ratios in (("wall", [w.wall / a.wall for w, a in pairs]), ("CPU", [w.cpu / a.cpu for w, a in pairs])):
        alone_ms, whole_ms = (getattr(each, name.lower()) * 1e3 for each in (alone, whole))
        lines.append(
            f"{f'step, {name}':<26}{alone_ms:>9.1f}{whole_ms:>9.1f}{whole_ms - alone_ms:>9.1f}"
            f"{statistics.median(ratios):>8.3f}x  ({min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds)"
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--threads", type=int, help="of PyTorch; default: its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or generate(Path(folder) / "digits", {"train": 4 * options.batch, "val": 1})
        config = find_config("bccd-tiny").replace(
            network_options={},
            anchors="fitted",
            input_size=(options.side, options.side),
            batch_size=options.batch,
            epochs=1,
            data={"val": None, "cache_mb": 300, "workers": options.workers},
        )
        images = len(open_train(config, data))
        steps = options.rounds * (COUNTED + NOT_COUNTED) + 1
        measured = measure(config.replace(epochs=-(-steps * options.batch // images)), data)
    print(heading(f"Training step, yolov4-tiny, {options.batch} x {options.side} px", "torch", "lightning"))
    print(f"{torch.get_num_threads()} threads of PyTorch")
    print("\n".join(table(measured)))


if __name__ == "__main__":
    main()
