"""Lightning module of a training: one optimizer step per batch, logged losses, and the state that a restart needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from yoloscope.models.detector import scale_pixels
from yoloscope.models.errors import CheckpointError, DatasetError
from yoloscope.models.layers.dropblock import set_dropblock_probability
from yoloscope.models.network import Network
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.build import build_optimizer, build_schedule
from yoloscope.training.checkpoint.progress import RunProgress
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.loader import Batch
from yoloscope.training.logs import LOGGER
from yoloscope.training.losses import compute_loss
from yoloscope.training.losses.distillation import DISTILLED, distillation_costs
from yoloscope.training.losses.report import LossReport
from yoloscope.training.optim.cross_mini_batch_norm import finish_batch
from yoloscope.training.optim.ema import WeightAverage
from yoloscope.training.optim.schedule import LinearRamp
from yoloscope.training.optim.self_adversarial import self_adversarial
from yoloscope.training.teachers import Teachers


def log_values(reports: Sequence[LossReport], spec: DetectorSpec) -> dict[str, float]:
    """Return the mean over mini-batches of the total, every weighted term, and each of them at every scale.

    Keys are ``loss``, ``loss/TERM``, ``loss/stride_S`` and ``loss/stride_S/TERM``.
    """
    values: dict[str, float] = {}
    for report in reports:
        for key, value in _of_report(report, spec).items():
            values[key] = values.get(key, 0.0) + value / len(reports)
    return values


def distilled_values(costs: Sequence[Tensor], spec: DetectorSpec) -> dict[str, float]:
    """Return the mean over mini-batches of the distillation costs, [H, 3] each.

    Keys are ``distill``, ``distill/TERM``, ``distill/stride_S`` and ``distill/stride_S/TERM``.
    """
    mean = torch.stack(tuple(costs)).mean(0)
    rows = torch.cat((mean, mean.sum(0, keepdim=True))).tolist()
    values: dict[str, float] = {}
    for place, row in zip((*(f"distill/{stride}" for stride in _strides(spec)), "distill"), rows, strict=True):
        values[place] = sum(row)
        values |= {f"{place}/{term}": value for term, value in zip(DISTILLED, row, strict=True)}
    return values


def _strides(spec: DetectorSpec) -> list[str]:
    """Return the names of the heads in the log."""
    return [f"stride_{round(spec.head_stride(index)[0])}" for index in range(len(spec.heads))]


def _of_report(report: LossReport, spec: DetectorSpec) -> dict[str, float]:
    """Return the values of one mini-batch, read from the device in two goes."""
    scales = report.by_scale
    by_scale = torch.stack((scales.total, *scales.terms.values()))
    rows = torch.cat((by_scale, by_scale.sum(1, keepdim=True)), 1).tolist()
    names = ["", *(f"/{name}" for name in scales.terms)]
    places = [f"loss/{stride}" for stride in _strides(spec)]
    values = {f"loss{name}": row[-1] for name, row in zip(names, rows, strict=True)}
    values["loss"] = float(report.total.detach())
    for index, place in enumerate(places):
        values |= {f"{place}{name}": row[index] for name, row in zip(names, rows, strict=True)}
    return values


_STEP_STREAM, _ATTACK_STREAM = 1, 2
_SHOWN_LETTERS = 200


@dataclass(frozen=True)
class StepLoss:
    """Loss of a mini-batch.

    ``total`` is on the graph and ``report`` the loss report of the labels. ``distilled`` float [H, 3] are the costs of
    answering otherwise than the teachers, by head and term, detached and before their share.
    """

    total: Tensor
    report: LossReport
    distilled: Tensor | None = None


class TrainingModule(lightning.LightningModule):
    """Trains ``network`` by ``compute_loss`` under its spec's preset, and by teachers where it has any.

    One call of ``training_step`` is one optimizer step: the mini-batches of a batch are accumulated inside it, so that
    between calls there is never a part of a step. Learning rate, DropBlock, attacks and all random draws are functions
    of seed, step and rank; with weights, optimizer, average and ``progress`` restored, a run continues bit for bit.
    While ``inside_step`` these belong to no step: running statistics or weights have moved, ``progress`` has not.
    """

    def __init__(
        self,
        network: Network,
        config: TrainingConfig,
        steps_per_epoch: int,
        num_images: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self._num_images = num_images
        self._teachers: Teachers | None = None
        self.total_steps = steps_per_epoch * config.epochs
        self.progress = RunProgress()
        average = config.ema
        self._average = None if average is None else WeightAverage(network, average.decay, average.warmup)
        self._schedule = build_schedule(config.schedule, config.optimizer.lr, steps_per_epoch, self.total_steps)
        self._drop_block = (
            LinearRamp(config.freebies.drop_block, self.total_steps) if config.freebies.drop_block else None
        )
        self._saved_optimizer: Mapping[str, Any] | None = None
        self.last_loss: StepLoss | None = None
        self.inside_step = False

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is validated and exported: the average of the weights, where there is one."""
        return self.network if self._average is None else self._average.average

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.progress.step / self.steps_per_epoch

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step closed an epoch."""
        return self.progress.step % self.steps_per_epoch == 0

    @property
    def images_seen(self) -> int:
        """Images trained on."""
        return self.progress.step * self.config.batch_size

    def set_teachers(self, teachers: Teachers) -> None:
        """Train by these teachers too, in the share that the configuration gives them."""
        self._teachers = teachers

    def configure_optimizers(self) -> Optimizer:
        """Return the optimizer, with its saved state where the run is resumed."""
        optimizer = build_optimizer(self.network, self.config.optimizer)
        if self._saved_optimizer is not None:
            optimizer.load_state_dict(dict(self._saved_optimizer))
        return optimizer

    def on_fit_start(self) -> None:
        """Move average and teachers to the device; they are no submodules, so that optimizer and DDP skip them."""
        if self._average is not None:
            self._average.average.to(self.device)
        if self._teachers is not None:
            self._teachers.to(self.device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Return the batch on the device."""
        return batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Make one optimizer step; raise DatasetError for an unreadable image where it shall stop the training."""
        self._judge(batch)
        step = self.progress.step
        torch.manual_seed(int(self._draws(_STEP_STREAM).integers(2**62)))
        if self._drop_block is not None:
            set_dropblock_probability(self.network, self._drop_block(step))
        optimizer = cast("Optimizer", self.optimizers())
        rate = self._schedule(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.inside_step = True
        losses = [self._mini_batch(images, truth) for images, truth in batch.parts(self.config.accumulate)]
        if self.config.optimizer.grad_clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimizer.grad_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        finish_batch(self.network)
        if self._average is not None:
            self._average.update(self.network)
        self.progress.step += 1
        self.inside_step = False
        self.last_loss = losses[-1]
        self._log(losses, rate)

    def checkpoint(self) -> dict[str, Any]:
        """Return everything that a restart needs, as tensors and plain values."""
        optimizer = cast("Optimizer", self.optimizers(use_pl_optimizer=False))
        return {
            "config": self.config.to_yaml(),
            "spec": self.network.spec.to_json(),
            "pictures": self._num_images,
            "teachers": None if self._teachers is None else self._teachers.digest,
            "progress": self.progress.to_dict(),
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``checkpoint`` returned, for the same configuration and data.

        Raises CheckpointError for the tensors of another network, as another version may have built it.
        """
        try:
            self.network.load_state_dict(state["network"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
        except RuntimeError as error:
            wrong = " ".join(str(error).split())[:_SHOWN_LETTERS]
            raise CheckpointError(
                f"expected the tensors of this network in the checkpoint, got: {wrong} ..."
            ) from error
        self._saved_optimizer = state["optimizer"]
        self.progress = RunProgress.from_dict(state["progress"])

    def _mini_batch(self, pixels: Tensor, truth: GroundTruth) -> StepLoss:
        """Add the gradient of one mini-batch."""
        images = scale_pixels(pixels, channels=self.network.spec.input_channels)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        share = self.config.freebies.self_adversarial
        if share and self._draws(_ATTACK_STREAM).random() < share:
            images = self_adversarial(
                images,
                lambda attacked: self._loss(attacked, truth).total,
                self.network,
                self.config.freebies.self_adversarial_epsilon,
            )
        loss = self._loss(images, truth)
        self.manual_backward(loss.total / self.config.accumulate)
        return loss

    def _loss(self, images: Tensor, truth: GroundTruth) -> StepLoss:
        heads, spec, distill = self.network(images), self.network.spec, self.config.distill
        with torch.set_grad_enabled(distill is None or distill.share < 1):
            report = compute_loss(heads, truth, spec, preset=None, images_seen=self.images_seen)
        if self._teachers is None or distill is None:
            return StepLoss(report.total, report)
        costs = distillation_costs(heads, self._teachers(images), spec, distill.box_weight)
        return StepLoss((1 - distill.share) * report.total + distill.share * costs.sum(), report, costs.detach())

    def _log(self, losses: Sequence[StepLoss], rate: float) -> None:
        """Hand the losses of the step to the loggers, past Lightning's own bookkeeping, which takes far longer."""
        if self.trainer.is_global_zero:
            values = log_values([loss.report for loss in losses], self.network.spec)
            values |= {"rate": rate, "epoch": self.epoch}
            distilled = [loss.distilled for loss in losses if loss.distilled is not None]
            if distilled:
                values |= distilled_values(distilled, self.network.spec)
                values["objective"] = sum(float(loss.total.detach()) for loss in losses) / len(losses)
            for logger in self.loggers:
                logger.log_metrics(values, self.progress.step)

    def _draws(self, stream: int) -> np.random.Generator:
        """Return the random numbers of one purpose at this step."""
        rank = self.global_rank if stream == _STEP_STREAM else 0
        return np.random.default_rng((self.config.seed, self.progress.step, rank, stream))

    def _judge(self, batch: Batch) -> None:
        problems = dict.fromkeys(batch.problems)
        reason = batch.failure
        if reason is None and problems and self.config.data.on_bad_image == "stop":
            reason = f"{next(iter(problems))}; set data.on_bad_image to skip to train without such images"
        reason = self._first_reason(reason)
        if reason is not None:
            raise DatasetError(reason)
        for problem in problems:
            LOGGER.warning("skipped: %s", problem)

    def _first_reason(self, reason: str | None) -> str | None:
        """Return the reason to stop of the first rank that has one, on all of them: none shall wait for another."""
        if not self.trainer.strategy.reduce_boolean_decision(reason is not None, all=False):
            return None
        reasons = [reason] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(reasons, reason)
        return next(one for one in reasons if one is not None)
