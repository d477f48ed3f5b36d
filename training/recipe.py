"""From a configuration and a data set to the parts of a run: network, augmentation, schedule, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from models import registry
from models.errors import ConfigError
from models.layers.dropblock import DropBlock
from models.outline import Network
from models.spec import DetectorSpec, LossSpec
from training.cmbn import with_cross_mini_batch_norm
from training.config import AugmentConfig, BagsConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from training.data.augment.colour_jitter import ColourJitter
from training.data.augment.crop_jitter import CropJitter
from training.data.augment.cutmix import CutMix
from training.data.augment.flip import Flip
from training.data.augment.mixup import MixUp
from training.data.augment.pipeline import Pipeline
from training.data.augment.random_scale import RandomScale
from training.data.augment.training_shapes import TrainingShapes
from training.data.datasets import DetectionDataset
from training.dataset_anchors import fit_dataset_anchors
from training.losses.distillation import can_be_distilled
from training.losses.preset import Preset
from training.losses.resolve import resolve_preset
from training.schedule import CosineRestarts, StepSchedule
from training.start_weights import load_start


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
    if config.bags.drop_block and not any(isinstance(module, DropBlock) for module in network.modules()):
        raise ConfigError(f"bags.drop_block: expected a network with DropBlock, as yolov4, got {config.network}")
    if config.start is not None:
        load_start(network, config.start, config.network, options)
    return cast("Network", with_cross_mini_batch_norm(network)) if config.bags.cross_mini_batch_norm else network


def configured_spec(spec: DetectorSpec, config: TrainingConfig) -> DetectorSpec:
    """Return the spec with the run's resize, grid sensitivity and loss; raise PresetError if the loss does not fit."""
    updates: dict[str, object] = {"loss": LossSpec(preset=config.loss.preset or spec.loss.preset)}
    if config.resize is not None:
        updates["resize"] = config.resize
    if not config.bags.grid_sensitivity:
        updates["heads"] = tuple(head.model_copy(update={"scale_xy": 1.0}) for head in spec.heads)
    plain = spec.model_copy(update=updates)
    preset = resolve_preset(None, plain)
    if config.augment.mixup and not isinstance(preset, Preset):
        raise ConfigError("augment.mixup: expected a formula preset (v1..v4), which weighs objects, got another")
    if config.distill is not None and not all(can_be_distilled(head) for head in plain.heads):
        raise ConfigError(
            f"distill: expected heads with anchors, logistic objectness and no tree of classes, got {plain.name}"
        )
    overrides = dict(config.loss.overrides) | _loss_switches(config.bags, formula=isinstance(preset, Preset))
    final = plain.model_copy(update={"loss": LossSpec(preset=plain.loss.preset, overrides=overrides)})
    resolve_preset(None, final)
    return final


def build_pipeline(config: AugmentConfig) -> Pipeline:
    """Return the augmentation of training pictures."""
    flips = config.flip_horizontal or config.flip_vertical
    colour = config.colour
    return Pipeline(
        crop_jitter=None if config.crop_jitter is None else CropJitter(config.crop_jitter),
        random_scale=None if config.random_scale is None else RandomScale(*config.random_scale),
        flip=Flip(config.flip_horizontal, config.flip_vertical) if flips else None,
        colour_jitter=None if colour is None else ColourJitter(colour.hue, colour.saturation, colour.exposure),
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
    burn_in = round(config.warm_up_epochs * steps_per_epoch)
    if config.kind == "cosine":
        cycle = total_steps if config.cycle_epochs is None else round(config.cycle_epochs * steps_per_epoch)
        return CosineRestarts(
            rate, max(cycle, 1), config.multiplier, rate * config.minimum_share, burn_in, config.warm_up_power
        )
    if config.kind == "constant":
        return StepSchedule(rate, (), (), burn_in, config.warm_up_power)
    steps = tuple(round(share * total_steps) for share in config.at)
    return StepSchedule(rate, steps, config.scales, burn_in, config.warm_up_power)


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Return the optimiser; weight decay acts on kernels, not on biases and normalisation.

    AdamW is PyTorch's fused one, which reads and writes every weight once a step.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return SGD(groups, lr=config.rate, momentum=config.momentum)
    return AdamW(groups, lr=config.rate, betas=(config.momentum, 0.999), fused=True)


def _loss_switches(bags: BagsConfig, *, formula: bool) -> dict[str, object]:
    """Return the preset keys that the switches stand for."""
    switches: dict[str, object] = {}
    if bags.label_smoothing is not None:
        switches["label_smoothing"] = bags.label_smoothing
    if bags.multi_anchor is not None:
        switches["match"] = "anchors_above" if bags.multi_anchor else "best_anchor"
    if bags.box_loss is not None:
        switches["box_loss"] = bags.box_loss
    if switches and not formula:
        raise ConfigError("bags: label_smoothing, multi_anchor and box_loss need a formula preset (v1..v4)")
    return switches
