"""Configurations: every key checked, everything writable and readable."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from training.config import TrainingConfig
from training.config_names import config_names, find_config


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epoch": 3}, "epoch: Extra inputs are not permitted"),
        ({"augment": {"mosiac": 1}}, "augment.mosiac: Extra inputs"),
        ({"epochs": 0}, "epochs: .*got 0"),
        ({"augment": {"mosaic": 1.5}}, "augment.mosaic: .*got 1.5"),
        ({"bags": {"box_loss": "siou"}}, "bags.box_loss: .*got 'siou'"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate"),
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
