"""From a configuration and a data set to the parts of a run: network, augmentation, schedule, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from yoloscope.models import registry
from yoloscope.models.detector import scale_pixels
from yoloscope.models.errors import ConfigError, DatasetError, ImageDecodeError
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.network import Network
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import DetectorSpec, LossSpec
from yoloscope.training.anchors import fit_dataset_anchors
from yoloscope.training.config import (
    AugmentConfig,
    FreebiesConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
)
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale
from yoloscope.training.data.augment.mixing import CutMix, MixUp
from yoloscope.training.data.augment.multi_scale import TrainingShapes
from yoloscope.training.data.augment.pipeline import Pipeline
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.losses import get_preset
from yoloscope.training.losses.distillation import can_be_distilled
from yoloscope.training.optim.cross_mini_batch_norm import with_cross_mini_batch_norm
from yoloscope.training.optim.schedule import CosineRestarts, StepSchedule
from yoloscope.training.start import load_start, unfold_norms

_MEASURED_IMAGES: Final = 8


def build_network(config: TrainingConfig, dataset: DetectionDataset) -> Network:
    """Return the network that a run trains, with the data set's classes, its anchors, loss and start weights.

    The weights drawn follow from the seed, to which torch's global generator is set. Raises ConfigError, PresetError or
    WeightsError for parts that do not go together.
    """
    options: dict[str, Any] = dict(config.network_options)
    names = dataset.class_names

    def build(anchors: Sequence[tuple[float, float]] | None = None) -> Network:
        torch.manual_seed(config.seed)
        return registry.build(config.network, len(names), anchors, config.input_size, class_names=names, **options)

    network = build()
    if config.anchors == "fitted":
        spec = configured_spec(network.spec, config)
        network = build(fit_dataset_anchors(dataset, spec, seed=config.seed).anchors_px)
    elif config.anchors != "published":
        network = build(config.anchors)
    network.spec = configured_spec(network.spec, config)
    if config.freebies.drop_block and not any(isinstance(module, DropBlock) for module in network.modules()):
        raise ConfigError(f"freebies.drop_block: expected a network with DropBlock, as yolov4, got {config.network}")
    if config.start is not None:
        taken = load_start(network, config.start, config.network, options)
        if taken.folded:
            unfold_norms(network, taken.folded, _first_images(dataset, network.spec))
    return cast("Network", with_cross_mini_batch_norm(network)) if config.freebies.cross_mini_batch_norm else network


def _first_images(dataset: DetectionDataset, spec: DetectorSpec) -> Tensor:
    """Return the first images of a data set that can be read as network inputs float [B, C, H, W] in 0..1."""
    inputs: list[NDArray[np.float32]] = []
    for image in dataset.images:
        if len(inputs) == _MEASURED_IMAGES:
            break
        with suppress(ImageDecodeError, DatasetError):
            inputs.append(preprocess(image.read(), spec)[0])
    if not inputs:
        raise DatasetError(f"expected images in {dataset.source}, got none that can be read")
    return scale_pixels(torch.from_numpy(np.stack(inputs)), channels=spec.input_channels)


def configured_spec(spec: DetectorSpec, config: TrainingConfig) -> DetectorSpec:
    """Return the spec with the run's resize, grid sensitivity and loss; raise PresetError if the loss does not fit."""
    updates: dict[str, object] = {"loss": LossSpec(preset=config.loss.preset or spec.loss.preset)}
    if config.resize is not None:
        updates["resize"] = config.resize
    if not config.freebies.grid_sensitivity:
        updates["heads"] = tuple(head.model_copy(update={"scale_xy": 1.0}) for head in spec.heads)
    plain = spec.model_copy(update=updates)
    preset = get_preset(None, plain)
    if config.augment.mixup and not preset.is_formula:
        raise ConfigError("augment.mixup: expected a formula preset (v1..v4), which weighs objects, got another")
    if config.distill is not None and not all(can_be_distilled(head) for head in plain.heads):
        raise ConfigError(
            f"distill: expected heads with anchors, logistic objectness and no tree of classes, got {plain.name}"
        )
    overrides = dict(config.loss.overrides) | _loss_switches(config.freebies, formula=preset.is_formula)
    final = plain.model_copy(update={"loss": LossSpec(preset=plain.loss.preset, overrides=overrides)})
    get_preset(None, final)
    return final


def build_pipeline(config: AugmentConfig) -> Pipeline:
    """Return the augmentation of training images."""
    flips = config.flip_horizontal or config.flip_vertical
    color = config.color
    return Pipeline(
        crop_jitter=None if config.crop_jitter is None else CropJitter(config.crop_jitter),
        random_scale=None if config.random_scale is None else RandomScale(*config.random_scale),
        flip=Flip(config.flip_horizontal, config.flip_vertical) if flips else None,
        color_jitter=None if color is None else ColorJitter(color.hue, color.saturation, color.exposure),
        mosaic_probability=config.mosaic,
        cutmix_probability=config.cutmix,
        cutmix=CutMix(config.cutmix_alpha),
        mixup_probability=config.mixup,
        mixup=MixUp(config.mixup_alpha),
    )


def build_shapes(config: TrainingConfig, spec: DetectorSpec) -> TrainingShapes:
    """Return the input sizes of the run; raise ConfigError where a network cannot change its own."""
    factor = config.augment.random_shapes or 1.0
    if factor != 1 and spec.family == "v1":
        raise ConfigError(f"augment.random_shapes: expected a convolutional network, got {spec.name}")
    coarsest = max(max(spec.head_stride(index)) for index in range(len(spec.heads)))
    return TrainingShapes(
        spec.input_width,
        spec.input_height,
        factor=factor,
        every=config.augment.random_shapes_every,
        multiple=1 if spec.family == "v1" else round(coarsest),
        seed=config.seed,
    )


def build_schedule(
    config: ScheduleConfig, rate: float, steps_per_epoch: int, total_steps: int
) -> Callable[[int], float]:
    """Return the learning rate as a function of the step."""
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.kind == "cosine":
        cycle = total_steps if config.cycle_epochs is None else round(config.cycle_epochs * steps_per_epoch)
        return CosineRestarts(
            rate, max(cycle, 1), config.multiplier, rate * config.min_lr_ratio, warmup_steps, config.warmup_power
        )
    if config.kind == "constant":
        return StepSchedule(rate, (), (), warmup_steps, config.warmup_power)
    steps = tuple(round(share * total_steps) for share in config.milestones)
    return StepSchedule(rate, steps, config.gammas, warmup_steps, config.warmup_power)


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Return the optimizer; weight decay acts on kernels, not on biases and normalization.

    AdamW is PyTorch's fused one, which reads and writes every weight once a step.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum)
    return AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=True)


def _loss_switches(freebies: FreebiesConfig, *, formula: bool) -> dict[str, object]:
    """Return the preset keys that the switches stand for."""
    switches: dict[str, object] = {}
    if freebies.label_smoothing is not None:
        switches["label_smoothing"] = freebies.label_smoothing
    if freebies.multi_anchor is not None:
        switches["match"] = "anchors_above" if freebies.multi_anchor else "best_anchor"
    if freebies.box_loss is not None:
        switches["box_loss"] = freebies.box_loss
    if switches and not formula:
        raise ConfigError("freebies: label_smoothing, multi_anchor and box_loss need a formula preset (v1..v4)")
    return switches
