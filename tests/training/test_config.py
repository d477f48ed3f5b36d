"""Configurations: every key checked, everything writable and readable."""

from pathlib import Path
from typing import Any

import pytest

from yoloscope.models.errors import ConfigError
from yoloscope.training.config import TrainingConfig, config_names, find_config


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epoch": 3}, "epoch: Extra inputs are not permitted"),
        ({"augment": {"mosiac": 1}}, "augment.mosiac: Extra inputs"),
        ({"epochs": 0}, "epochs: .*got 0"),
        ({"augment": {"mosaic": 1.5}}, "augment.mosaic: .*got 1.5"),
        ({"bags": {"box_loss": "siou"}}, "bags.box_loss: .*got 'siou'"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate"),
        ({"input_size": [0, 64]}, r"input_size\.0: .*got 0"),
        ({"input_size": [64, -64]}, r"input_size\.1: .*got -64"),
        ([1], "the document"),
    ],
)
def test_wrong_keys_and_values_are_named(values: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainingConfig.parse(values)


def test_yaml_comes_back(tmp_path: Path) -> None:
    config = TrainingConfig.parse(
        {"anchors": [[1, 2], [3, 4]], "average": None, "start": {"weights": "a.weights"}, "input_size": [64, 96]}
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert TrainingConfig.load(path) == config


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert TrainingConfig.load(tmp_path / "a.yaml") == TrainingConfig()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [1", b"a: b: c"])
def test_what_is_no_yaml_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="expected a YAML file"):
        TrainingConfig.load(tmp_path / "a.yaml")


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
    (tmp_path / "a.yaml").write_text(text + "bags: {<<: {drop_block: 0.1}, drop_block: 0.2}\n")
    assert TrainingConfig.load(tmp_path / "a.yaml").bags.drop_block == 0.2


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
