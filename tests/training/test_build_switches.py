"""Every key of the configuration reaches its effect."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from tests.training.runs import Configure, quick_config
from yoloscope.models import registry
from yoloscope.models.anchors import YOLOV4_TINY
from yoloscope.models.errors import ConfigError, PresetError
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.network import Network, NetworkConfig, Scale, yolo_spec
from yoloscope.training.build import build_network, build_optimizer, build_pipeline, build_schedule, build_shapes
from yoloscope.training.callbacks import Validation
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.config import FreebiesConfig, OptimizerConfig, ScheduleConfig, TrainingConfig
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale
from yoloscope.training.data.augment.mixing import CutMix, MixUp
from yoloscope.training.data.augment.multi_scale import TrainingShapes
from yoloscope.training.data.augment.pipeline import Pipeline
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.losses import PRESETS, FormulaPreset, get_preset
from yoloscope.training.optim.cross_mini_batch_norm import CrossMiniBatchNorm2d
from yoloscope.training.train import train, train_network, training_data
from yoloscope.training.trainer import use_bf16

pytestmark = pytest.mark.usefixtures("no_export")


CHANGES: list[dict[str, Any]] = [
    {"augment": {"mosaic": 1.0}},
    {"augment": {"cutmix": 1.0}},
    {"augment": {"cutmix": 1.0, "cutmix_alpha": 9.0}},
    {"augment": {"mixup": 1.0}},
    {"augment": {"mixup": 1.0, "mixup_alpha": 9.0}},
    {"augment": {"flip_horizontal": 1.0}},
    {"augment": {"flip_vertical": 1.0}},
    {"augment": {"crop_jitter": 0.2}},
    {"augment": {"random_scale": [0.5, 0.6]}},
    {"augment": {"color": {"hue": 0.3}}},
    {"augment": {"color": {"saturation": 3.0}}},
    {"augment": {"color": {"exposure": 3.0}}},
    {"augment": {"random_shapes": 1.6, "random_shapes_every": 1}},
    {"augment": {"mosaic": 1.0, "close_mosaic_fraction": 0.5}},
    {"freebies": {"label_smoothing": 0.2}},
    {"freebies": {"multi_anchor": False}},
    {"freebies": {"box_loss": "giou"}},
    {"freebies": {"grid_sensitivity": False}},
    {"freebies": {"self_adversarial": 1.0}},
    {"freebies": {"self_adversarial": 1.0, "self_adversarial_epsilon": 0.2}},
    {"loss": {"preset": "v3"}},
    {"loss": {"overrides": {"ignore_threshold": 0.3}}},
    {"optimizer": {"lr": 0.001}},
    {"optimizer": {"name": "sgd"}},
    {"optimizer": {"momentum": 0.5}},
    {"optimizer": {"weight_decay": 0.1}},
    {"optimizer": {"grad_clip_norm": 0.01, "name": "sgd"}},
    {"schedule": {"kind": "cosine"}},
    {"schedule": {"warmup_epochs": 2}},
    {"schedule": {"warmup_epochs": 2, "warmup_power": 4.0}},
    {"schedule": {"kind": "cosine", "min_lr_ratio": 0.9}},
    {"schedule": {"kind": "steps", "milestones": [0.5], "gammas": [0.1]}},
    {"seed": 1},
    {"precision": "bf16"},
    {"batch_size": 4},
    {"accumulate": 3},
    {"resize": {"placement": "letterbox", "interpolation": "antialiased", "pad_value": 0.9}, "input_size": [64, 96]},
    {"anchors": "fitted"},
    {"anchors": [[10, 10], [12, 12], [14, 14], [20, 20], [24, 24], [30, 30]]},
]
ELSEWHERE = {
    "network": "test_build_switches.py::test_loss_switches_become_keys_of_the_preset",
    "network_options": "test_build_switches.py::test_drop_block_ramps_up",
    "start": "test_start.py::test_a_whole_file",
    "epochs": "test_build_switches.py::test_nothing_switched_changes_nothing",
    "channels_last": "test_build_switches.py::test_channels_last_is_how_kernels_lie_in_memory",
    "data": "data/test_splits.py::test_a_share_of_train_is_held_out",
    "schedule.cycle_epochs": "test_build_switches.py::test_schedules_in_steps",
    "schedule.multiplier": "test_build_switches.py::test_schedules_in_steps",
    "freebies.drop_block": "test_build_switches.py::test_drop_block_ramps_up",
    "freebies.cross_mini_batch_norm": (
        "test_build_switches.py::test_cross_mini_batch_norm_matters_where_batches_are_split"
    ),
    "ema": "test_build_switches.py::test_the_average_is_optional_and_its_decay_counts",
    "distill": "test_teachers.py::test_every_key_reaches_its_effect",
    "validation": "test_build_switches.py::test_validation_is_as_often_as_wanted_and_after_the_last_epoch",
}
"""Keys whose effect one test looks at, by its file and name."""


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration, dotted."""
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        yield from keys_of(inner[0], f"{prefix}{name}.") if inner else [f"{prefix}{name}"]


def switched(change: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a change."""
    for name, value in change.items():
        yield f"{prefix}{name}"
        yield from switched(value, f"{prefix}{name}.") if isinstance(value, dict) else ()


def weights_after(config: TrainingConfig, data: Path, folder: Path) -> Tensor:
    """All parameters after a run, as one vector."""
    train(config, data, folder)
    state = read_checkpoint(folder / "last.ckpt")["network"]
    return torch.cat([value.float().flatten() for name, value in state.items() if "norm.running" not in name])


@pytest.fixture(scope="module")
def plain(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tensor]:
    """The parameters after two steps with nothing switched on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yoloscope.training.train.export_best", lambda *_: None)
        yield weights_after(quick_config(epochs=2), shapes, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_switch_changes_what_is_learnt(
    change: dict[str, Any], shapes: Path, configure: Configure, tmp_path: Path, plain: Tensor
) -> None:
    changed = weights_after(configure(**({"epochs": 2} | change)), shapes, tmp_path)
    assert torch.isfinite(changed).all()
    assert changed.shape != plain.shape or not torch.equal(changed, plain)


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


def test_no_key_is_without_a_test_of_its_effect() -> None:
    here = {key for change in CHANGES for key in switched(change)}
    left = [key for key in keys_of(TrainingConfig) if key not in here]
    assert [key for key in left if key not in ELSEWHERE and key.partition(".")[0] not in ELSEWHERE] == []
    for key, place in ELSEWHERE.items():
        file, _, name = place.partition("::")
        text = (Path(__file__).parent / file).read_text("utf-8")
        tests = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == name]
        assert len(tests) == 1, place
        assert key.rpartition(".")[2] in (ast.get_source_segment(text, tests[0]) or ""), key


def test_nothing_switched_changes_nothing(shapes: Path, configure: Configure, tmp_path: Path, plain: Tensor) -> None:
    assert torch.equal(weights_after(configure(epochs=2), shapes, tmp_path), plain)


def test_without_composed_images_to_the_end_a_run_is_plain(
    shapes: Path, configure: Configure, tmp_path: Path, plain: Tensor
) -> None:
    config = configure(epochs=2, augment={"mosaic": 1.0, "cutmix": 1.0, "mixup": 1.0, "close_mosaic_fraction": 1.0})
    assert torch.equal(weights_after(config, shapes, tmp_path), plain)


@pytest.mark.parametrize(("share", "close_mosaic_epoch"), [(0.0, 5), (0.2, 4), (0.29, 4), (0.31, 3), (1.0, 0)])
def test_the_last_share_of_the_epochs_is_not_composed(
    share: float, close_mosaic_epoch: int, shapes: Path, configure: Configure
) -> None:
    dataset = open_dataset(shapes, "train")
    whole, none = configure(epochs=5), configure(epochs=5, augment={"mosaic": 1.0, "close_mosaic_fraction": share})
    spec = build_network(whole, dataset).spec
    plainly, composed = (training_data(config, spec, dataset) for config in (whole, none))
    for step in range(5):
        key = composed.plan.sample_keys(step)[0]
        same = np.array_equal(plainly.images[key].sample.image, composed.images[key].sample.image)
        assert same == (step >= close_mosaic_epoch)


def test_cross_mini_batch_norm_matters_where_batches_are_split(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    split = configure(epochs=2, accumulate=3)
    crossing = configure(epochs=2, accumulate=3, freebies={"cross_mini_batch_norm": True})
    network = build_network(crossing, open_dataset(shapes, "train"))
    assert any(isinstance(module, CrossMiniBatchNorm2d) for module in network.modules())
    assert not torch.equal(
        weights_after(split, shapes, tmp_path / "split"), weights_after(crossing, shapes, tmp_path / "crossing")
    )


@pytest.mark.parametrize("wanted", [True, False])
def test_channels_last_is_how_kernels_lie_in_memory(
    shapes: Path, configure: Configure, tmp_path: Path, *, wanted: bool
) -> None:
    network = train_network(configure(channels_last=wanted), shapes, tmp_path).module.network
    kernels = [value for value in network.parameters() if value.ndim == 4 and value.shape[1] > 1 < value.shape[2]]
    assert len(kernels) > 5
    assert {value.is_contiguous(memory_format=torch.channels_last) for value in kernels} == {wanted}


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


def test_a_darknet_preset_trains(shapes: Path, configure: Configure, tmp_path: Path, plain: Tensor) -> None:
    changed = weights_after(configure(epochs=2, loss={"preset": "v4-darknet"}), shapes, tmp_path)
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, plain)


def test_mixup_needs_a_loss_that_weighs_objects(shapes: Path, configure: Configure) -> None:
    config = configure(loss={"preset": "v4-darknet"}, augment={"mixup": 0.5})
    with pytest.raises(ConfigError, match=r"augment\.mixup: expected a formula preset"):
        build_network(config, open_dataset(shapes, "train"))


class Dropping(Network):
    """One convolution, DropBlock, two heads."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(yolo_spec(config, "v4", (Scale(32), Scale(16)), YOLOV4_TINY))
        self.stem = nn.Conv2d(3, 8, 16, 16)
        self.drop = DropBlock(0.0, block_size=1)
        self.coarse = nn.Conv2d(8, self.head_channels(0), 2, 2)
        self.fine = nn.Conv2d(8, self.head_channels(1), 1)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.drop(self.stem(images))
        return self.coarse(x), self.fine(x)


def test_drop_block_ramps_up(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Dropping] = []

    def build(name: str, classes: int, *_: object, class_names: tuple[str, ...], **_options: object) -> Network:
        assert classes == len(class_names)
        built.append(Dropping(NetworkConfig(name, class_names, 64, 64)))
        return built[-1]

    monkeypatch.setattr(registry, "build", build)
    without = weights_after(configure(epochs=4, network_options={}), shapes, tmp_path / "without")
    dropped = weights_after(configure(epochs=4, freebies={"drop_block": 0.4}), shapes, tmp_path / "with")
    assert built[-1].drop.probability == pytest.approx(0.4 * 3 / 4)
    assert not torch.equal(without, dropped)


def test_drop_block_needs_a_network_that_has_it(shapes: Path, configure: Configure) -> None:
    with pytest.raises(ConfigError, match="expected a network with DropBlock"):
        build_network(configure(freebies={"drop_block": 0.1}), open_dataset(shapes, "train"))


def test_the_average_is_optional_and_its_decay_counts(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    averages = []
    for name, ema in (("none", None), ("slow", {"decay": 0.9, "warmup": 1}), ("fast", {"decay": 0.1})):
        train(configure(epochs=2).replace(ema=ema), shapes, tmp_path / name)
        state = read_checkpoint(tmp_path / name / "last.ckpt")
        averages.append(state["average"])
    assert averages[0] is None
    key = next(iter(averages[1]["average"]))
    assert not torch.equal(averages[1]["average"][key], averages[2]["average"][key])


def test_patience_ends_a_run_that_no_longer_improves(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([(0.1, 0.2), (0.3, 0.4), (0.2, 0.9), (0.3, 0.5), (0.9, 0.9)])
    monkeypatch.setattr(Validation, "_measure", lambda *_: dict(zip(("val/AP", "val/AP50"), next(scores), strict=True)))
    config = configure(epochs=9, data={"val": "val"}, validation={"patience": 2})
    result = train(config, shapes, tmp_path)
    assert (result.step, result.best, result.signal) == (4, (2, 0.3, 0.4), None)
    assert read_checkpoint(tmp_path / "best.ckpt")["progress"]["step"] == 2
    assert result.artifact is not None


def test_validation_is_as_often_as_wanted_and_after_the_last_epoch(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Validation, "_measure", lambda *_: {"val/AP": 0.5, "val/AP50": 0.5})
    train(configure(epochs=5, data={"val": "val"}, validation={"every_epochs": 2}), shapes, tmp_path)
    scores = read_checkpoint(tmp_path / "last.ckpt")["progress"]["scores"]
    assert [score[0] for score in scores] == [2, 4, 5]


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
