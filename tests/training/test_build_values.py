"""The value of a key of the configuration at the place where it acts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.runs import Configure, quick_config
from yoloscope.models.errors import ConfigError, PresetError
from yoloscope.training.build import build_network, build_optimizer, build_pipeline, build_schedule, build_shapes
from yoloscope.training.config import FreebiesConfig, OptimizerConfig, ScheduleConfig
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale
from yoloscope.training.data.augment.mixing import CutMix, MixUp
from yoloscope.training.data.augment.multi_scale import TrainingShapes
from yoloscope.training.data.augment.pipeline import Pipeline
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.losses import PRESETS, FormulaPreset, get_preset
from yoloscope.training.trainer import use_bf16


class TestWhatAKeyBecomes:
    """The value of a key at the place where it acts."""

    def test_augment(self) -> None:
        given = {
            "mosaic": 0.1,
            "cutmix": 0.2,
            "cutmix_alpha": 3.0,
            "mixup": 0.4,
            "mixup_alpha": 5.0,
            "flip_horizontal": 0.6,
            "flip_vertical": 0.7,
            "crop_jitter": 0.25,
            "random_scale": [0.5, 1.75],
            "color": {"hue": 0.3, "saturation": 1.5, "exposure": 1.25},
        }
        assert build_pipeline(quick_config(augment=given).augment) == Pipeline(
            crop_jitter=CropJitter(0.25),
            random_scale=RandomScale(0.5, 1.75),
            flip=Flip(horizontal=0.6, vertical=0.7),
            color_jitter=ColorJitter(hue=0.3, saturation=1.5, exposure=1.25),
            mosaic_probability=0.1,
            cutmix_probability=0.2,
            cutmix=CutMix(alpha=3.0),
            mixup_probability=0.4,
            mixup=MixUp(alpha=5.0),
        )
        assert build_pipeline(quick_config(augment={"mosaic": 0.0}).augment) == Pipeline()

    def test_random_shapes(self, shapes: Path, configure: Configure) -> None:
        config = configure(augment={"random_shapes": 1.6, "random_shapes_every": 3}, seed=4, input_size=[96, 160])
        spec = build_network(config, open_dataset(shapes, "train")).spec
        assert build_shapes(config, spec) == TrainingShapes(96, 160, factor=1.6, every=3, multiple=32, seed=4)

    def test_optimizer(self) -> None:
        network = nn.Linear(2, 3)
        adam = build_optimizer(network, OptimizerConfig(lr=0.25, momentum=0.75, weight_decay=0.125))
        assert type(adam) is torch.optim.AdamW
        assert [(g["lr"], g["betas"], g["weight_decay"]) for g in adam.param_groups] == [
            (0.25, (0.75, 0.999), 0.125),
            (0.25, (0.75, 0.999), 0.0),
        ]
        sgd = build_optimizer(network, OptimizerConfig(name="sgd", lr=0.25, momentum=0.75, weight_decay=0.125))
        assert type(sgd) is torch.optim.SGD
        assert [(g["lr"], g["momentum"], g["weight_decay"]) for g in sgd.param_groups] == [
            (0.25, 0.75, 0.125),
            (0.25, 0.75, 0.0),
        ]

    def test_schedule(self) -> None:
        """A rate of 2 over 100 steps, 10 to an epoch: a fourth power to step 20, then as each kind says."""
        warm = build_schedule(ScheduleConfig(kind="constant", warmup_epochs=2, warmup_power=4.0), 2.0, 10, 100)
        assert [warm(step) for step in (0, 10, 20, 99)] == [0.0, 2 / 16, 2.0, 2.0]
        cosine = build_schedule(ScheduleConfig(warmup_epochs=0, min_lr_ratio=0.5), 2.0, 10, 100)
        assert [cosine(step) for step in (0, 50, 100)] == pytest.approx([2.0, 1.5, 2.0])
        steps = ScheduleConfig(kind="steps", warmup_epochs=0, milestones=(0.5, 0.75), gammas=(0.1, 0.5))
        assert [build_schedule(steps, 2.0, 10, 100)(at) for at in (49, 50, 75)] == pytest.approx([2.0, 0.2, 0.1])

    def test_loss_and_resize(self, shapes: Path, configure: Configure) -> None:
        dataset = open_dataset(shapes, "train")
        resize = {"placement": "letterbox", "interpolation": "antialiased", "pad_value": 0.5}
        spec = build_network(
            configure(loss={"preset": "v3", "overrides": {"ignore_threshold": 0.3}}, resize=resize), dataset
        ).spec
        assert get_preset(None, spec) == PRESETS["v3"].replace(ignore_threshold=0.3)
        assert spec.resize.model_dump() | resize == spec.resize.model_dump()
        sizes = [[10, 10], [12, 12], [14, 14], [20, 20], [24, 24], [30, 30]]
        assert [list(a) for a in build_network(configure(anchors=sizes), dataset).spec.anchors_px] == sizes


def test_loss_switches_become_keys_of_the_preset(shapes: Path, configure: Configure) -> None:
    freebies = {"label_smoothing": 0.1, "multi_anchor": False, "box_loss": "diou", "grid_sensitivity": False}
    spec = build_network(configure(freebies=freebies), open_dataset(shapes, "train")).spec
    preset = get_preset(None, spec)
    assert isinstance(preset, FormulaPreset)
    assert (preset.label_smoothing, preset.match, preset.box_loss) == (0.1, "best_anchor", "diou")
    assert {head.scale_xy for head in spec.heads} == {1.0}


def test_darknet_presets_refuse_switches_of_formulas(shapes: Path, configure: Configure) -> None:
    config = configure(loss={"preset": "v4-darknet"}, freebies={"box_loss": "ciou"})
    with pytest.raises(ConfigError, match="need a formula preset"):
        build_network(config, open_dataset(shapes, "train"))


@pytest.mark.parametrize("loss", [{"preset": "v9"}, {"overrides": {"ignore": 1}}, {"preset": "v1"}])
def test_a_loss_that_does_not_fit_is_refused_before_training(
    loss: dict[str, Any], shapes: Path, configure: Configure
) -> None:
    with pytest.raises(PresetError):
        build_network(configure(loss=loss), open_dataset(shapes, "train"))


def test_schedules_in_steps() -> None:
    cosine = build_schedule(ScheduleConfig(warmup_epochs=1), 1.0, 10, 100)
    assert (cosine(0), cosine(5)) == (0.0, 0.5)
    assert cosine(50) == pytest.approx(0.505)
    restarts = build_schedule(ScheduleConfig(warmup_epochs=0, cycle_epochs=2, multiplier=1), 1.0, 10, 100)
    assert [restarts(step) for step in (0, 20, 40)] == [1.0, 1.0, 1.0]
    steps = build_schedule(ScheduleConfig(kind="steps", warmup_epochs=0), 1.0, 10, 100)
    assert [steps(step) for step in (79, 80, 90)] == pytest.approx([1, 0.1, 0.01])
    constant = build_schedule(ScheduleConfig(kind="constant", warmup_epochs=0), 0.3, 10, 100)
    assert {constant(step) for step in (0, 50, 99)} == {0.3}


def test_weight_decay_spares_biases_and_normalization(shapes: Path, configure: Configure) -> None:
    config = configure(optimizer={"weight_decay": 0.1})
    kernels, others = build_optimizer(
        build_network(config, open_dataset(shapes, "train")), config.optimizer
    ).param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in kernels["params"]} == {4}
    assert {p.ndim for p in others["params"]} == {1}


def test_fitted_anchors_are_shapes_of_the_data_in_network_pixels(shapes: Path, configure: Configure) -> None:
    dataset = open_dataset(shapes, "train")
    spec = build_network(configure(anchors="fitted", input_size=[128, 64]), dataset).spec
    widths = np.array([box[2] - box[0] for image in dataset.images for box in image.labels.boxes_xyxy_px])
    anchors = np.array(spec.anchors_px)
    assert len(anchors) == 6
    assert anchors[:, 0].min() >= 2 * widths.min() - 1
    assert anchors[:, 0].max() <= 2 * widths.max() + 1


def test_anchors_for_a_network_without_any_are_refused(shapes: Path, configure: Configure) -> None:
    config = configure(network="yolov1-tiny", anchors="fitted", input_size=[64, 64])
    with pytest.raises(ConfigError, match="expected a network that has anchors, got yolov1-tiny"):
        build_network(config, open_dataset(shapes, "train"))


def test_shapes_of_a_network_that_cannot_change_size_are_refused(shapes: Path, configure: Configure) -> None:
    config = configure(network="yolov1-tiny", input_size=[64, 64], augment={"random_shapes": 1.4})
    spec = build_network(config, open_dataset(shapes, "train")).spec
    with pytest.raises(ConfigError, match="expected a convolutional network"):
        build_shapes(config, spec)


def test_precision_by_name() -> None:
    assert use_bf16("bf16", "cpu")
    assert not use_bf16("fp32", "cpu")
    assert use_bf16("auto", "cpu") in {True, False}


def test_all_freebies_are_off_by_default() -> None:
    freebies = FreebiesConfig()
    assert (freebies.label_smoothing, freebies.multi_anchor, freebies.box_loss, freebies.drop_block) == (
        None,
        None,
        None,
        0,
    )
    assert not freebies.cross_mini_batch_norm
    assert freebies.self_adversarial == 0
