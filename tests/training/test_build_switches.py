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
from yoloscope.models.errors import ConfigError
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.network import Network, NetworkConfig, Scale, yolo_spec
from yoloscope.training.build import build_network
from yoloscope.training.callbacks import Validation
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.optim.cross_mini_batch_norm import CrossMiniBatchNorm2d
from yoloscope.training.train import train, train_network, training_data

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
    "network": "test_build_values.py::test_loss_switches_become_keys_of_the_preset",
    "network_options": "test_build_switches.py::test_drop_block_ramps_up",
    "start": "test_start.py::test_a_whole_file",
    "epochs": "test_build_switches.py::test_nothing_switched_changes_nothing",
    "channels_last": "test_build_switches.py::test_channels_last_is_how_kernels_lie_in_memory",
    "data": "data/test_splits.py::test_a_share_of_train_is_held_out",
    "schedule.cycle_epochs": "test_build_values.py::test_schedules_in_steps",
    "schedule.multiplier": "test_build_values.py::test_schedules_in_steps",
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
