"""Configurations: every key checked, everything writable and readable."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.training.reference import PAGE, with_tables
from yoloscope.models import registry
from yoloscope.models.errors import ConfigError, PresetError
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.build import configured_spec
from yoloscope.training.config import TrainingConfig, config_names, find_config
from yoloscope.training.config_keys import FORMER_KEYS, _log_renamed
from yoloscope.training.export.artifact import read_spec


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epoch": 3}, "epoch: expected one of the keys accumulate, anchors, .*epochs, "),
        ({"epoch": 3}, "; did you mean epochs[?]"),
        (
            {"augment": {"mosiac": 1}},
            "augment.mosiac: expected one of the keys .*mosaic.*; did you mean augment.mosaic[?]",
        ),
        ({"lr": 0.1}, "lr: expected one of the keys .*; did you mean optimizer.lr[?]"),
        ({"alpha": 0.1}, "alpha: expected one of the keys .*, validation$"),
        ({"start": {"weights": "a", "par": "whole"}}, "start.par: expected .*weights; did you mean start.part[?]"),
        ({"start": {"part": "whole"}}, "start.weights: Field required"),
        ({"start": 3}, "start: expected an official model .*, got 3"),
        ({"start": ["a.cfg"]}, r"start: expected an official model .*, got \['a.cfg'\]"),
        ({"input_size": "64x"}, "input_size: .*got '64x'"),
        ({"epochs": 0}, "epochs: .*got 0"),
        ({"augment": {"mosaic": 1.5}}, "augment.mosaic: .*got 1.5"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr"),
        ({"input_size": [0, 64]}, r"input_size\.0: .*got 0"),
        ({"input_size": [64, -64]}, r"input_size\.1: .*got -64"),
        ([1], "the document"),
    ],
)
def test_wrong_keys_and_values_are_named(values: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainingConfig.parse(values)


def test_a_box_loss_that_does_not_exist_is_named_with_those_that_do() -> None:
    config = TrainingConfig.parse({"freebies": {"box_loss": "siou"}})
    with pytest.raises(PresetError, match=r"'box_loss': .*ciou, diou, .*got 'siou'"):
        configured_spec(registry.build("yolov4-tiny").spec, config)


SHOWN = ("digits", "bccd-tiny", "builtin", "yolov4-full")

FORMER = """
bags: {drop_block: 0.1}
average: {decay: 0.5, warm_up: 2}
augment: {colour: null, plain_share: 0.25}
data: {bad_pictures: skip}
optimizer: {rate: 0.5, clip_norm: 1.5}
schedule: {at: [0.5], scales: [0.2], minimum_share: 0.3, warm_up_epochs: 4, warm_up_power: 5}
"""
CURRENT = """
freebies: {drop_block: 0.1}
ema: {decay: 0.5, warmup: 2}
augment: {color: null, close_mosaic_fraction: 0.25}
data: {on_bad_image: skip}
optimizer: {lr: 0.5, grad_clip_norm: 1.5}
schedule: {milestones: [0.5], gammas: [0.2], min_lr_ratio: 0.3, warmup_epochs: 4, warmup_power: 5}
"""


def test_former_keys_are_understood_and_each_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in (("former", FORMER), ("current", CURRENT)):
        (tmp_path / f"{name}.yaml").write_text(text)
    _log_renamed.cache_clear()
    former = TrainingConfig.load(tmp_path / "former.yaml")
    assert former == TrainingConfig.load(tmp_path / "current.yaml")
    assert former.ema is not None
    assert (former.optimizer.lr, former.ema.warmup) == (0.5, 2)
    TrainingConfig.load(tmp_path / "former.yaml")
    named = [str(record.args[0]) for record in caplog.records if isinstance(record.args, tuple)]
    assert sorted(named) == sorted(set(FORMER_KEYS) - {"ema.warm_up"})


@pytest.mark.parametrize(
    "values", [{"bags": {}, "freebies": {}}, {"optimizer": {"rate": 1, "lr": 1}}, {"optimizer": {"lr": 1, "rate": 1}}]
)
def test_a_key_under_both_names_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected .* under one name, got it as .* too"):
        TrainingConfig.parse(values)


def test_the_configuration_in_the_built_in_model_is_still_one() -> None:
    """Its file was written with the former keys."""
    training = read_spec(BUILTIN).training
    assert training is not None
    assert "bags" in training["config"]
    config = TrainingConfig.parse(training["config"])
    assert (config.optimizer.lr, config.freebies.grid_sensitivity, config.schedule.warmup_epochs) == (0.002, True, 3)


def test_yaml_comes_back(tmp_path: Path) -> None:
    config = TrainingConfig.parse(
        {"anchors": [[1, 2], [3, 4]], "ema": None, "start": {"weights": "a.weights"}, "input_size": [64, 96]}
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert TrainingConfig.load(path) == config


@pytest.mark.parametrize("name", registry.names())
def test_every_network_has_a_size_that_it_can_be_built_for(name: str) -> None:
    config = TrainingConfig(network=name)
    assert config.input_size == ((448, 448) if name.startswith("yolov1") else (416, 416))
    assert TrainingConfig().replace(network=name) == config
    assert TrainingConfig(network=name, input_size=(192, 128)).replace(network="yolov1").input_size == (192, 128)
    with torch.device("meta"):
        assert registry.build(name, 2, input_size=config.input_size).spec.input_width == config.input_size[0]


@pytest.mark.parametrize(("given", "size"), [(320, (320, 320)), ("320", (320, 320)), ("416x320", (416, 320))])
def test_sizes_may_be_one_number_or_a_text(given: object, size: tuple[int, int]) -> None:
    assert TrainingConfig.parse({"input_size": given}).input_size == size


@pytest.mark.parametrize(
    "start", ["yolov3-tiny", "a/b.weights", ["a.cfg", "b.weights"], {"weights": "a.weights", "part": "other_classes"}]
)
def test_every_spelling_of_start_comes_back(start: object) -> None:
    config = TrainingConfig.parse({"start": start})
    assert TrainingConfig.parse(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize("start", ["yolov3-tiny", "folder/yolov3-tiny.weights"])
def test_an_official_start_brings_its_network_but_where_another_is_named(start: str) -> None:
    assert TrainingConfig.parse({"start": start}).network == "yolov3-tiny"
    assert TrainingConfig().replace(start=start).network == "yolov3-tiny"
    assert TrainingConfig.parse({"start": start, "network": "yolov3"}).network == "yolov3"
    assert TrainingConfig.parse({"start": "yolov1"}).input_size == (448, 448)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert TrainingConfig.load(tmp_path / "a.yaml") == TrainingConfig()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [1", b"a: b: c"])
def test_what_is_no_yaml_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="expected a YAML file") as caught:
        TrainingConfig.load(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)
    if content.startswith(b"a"):
        assert "at line 1, column " in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs: 3\nseed: 1\nepochs: 4\n", r"a\.yaml, .*every key once, got 'epochs' twice.*line 3"),
        ("augment: {mosaic: 0, mosaic: 1}\n", r"every key once, got 'mosaic' twice.*line 1"),
    ],
)
def test_a_key_given_twice_is_named(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        TrainingConfig.load(tmp_path / "a.yaml")


def test_the_same_key_in_two_places_is_fine(tmp_path: Path) -> None:
    text = "schedule: &once {kind: steps}\naugment: {mosaic: 0.0}\n"
    (tmp_path / "a.yaml").write_text(text + "freebies: {<<: {drop_block: 0.1}, drop_block: 0.2}\n")
    assert TrainingConfig.load(tmp_path / "a.yaml").freebies.drop_block == 0.2


def test_configurations_that_come_along_are_valid_and_found_by_name() -> None:
    assert {"digits", "bccd-tiny"} <= set(config_names())
    for name in config_names():
        assert find_config(name).epochs >= 1
    with pytest.raises(ConfigError, match=r"one of .*digits.*got 'none'"):
        find_config("none")


def test_replacing_checks_again() -> None:
    assert TrainingConfig().replace(epochs=3).epochs == 3
    with pytest.raises(ConfigError, match="epochs"):
        TrainingConfig().replace(epochs=-1)


def test_the_documented_keys_are_those_of_the_configuration() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "renew docs/training.md: python -m tests.training.reference"
    assert f"Configurations that come along: {', '.join(f'`{name}`' for name in SHOWN)}." in page
    assert sorted(SHOWN) == sorted(config_names())


def test_the_documented_configuration_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config = TrainingConfig.parse(yaml.safe_load(text))
    assert (config.start, config.input_size, config.augment.mosaic) == ("yolov4-tiny", (320, 320), 0.3)
