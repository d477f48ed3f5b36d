"""What may be searched: keys, ranges and choices, and the error for each that training does not know."""

from pathlib import Path

import pytest

from tests.training.runs import quick_config
from yoloscope.models import registry
from yoloscope.models.errors import ConfigError
from yoloscope.training.config import TrainingConfig
from yoloscope.training.search.run import check_space, default_space
from yoloscope.training.search.space import Choices, Range, SearchSpace, value_at, with_values


def test_ranges_are_whole_where_the_key_and_its_bounds_are() -> None:
    space = SearchSpace.parse(
        {
            "batch_size": {"low": 4, "high": 16},
            "augment.mosaic": {"low": 0, "high": 1},
            "optimizer.grad_clip_norm": {"low": 1, "high": 10},
            "network_options.width": {"low": 0.25, "high": 1},
            "augment.random_scale": {"choices": [None, [0.8, 1.25]]},
        }
    )
    ranges = {key: value for key, value in space.dimensions.items() if isinstance(value, Range)}
    assert {key: value.whole for key, value in ranges.items()} == {
        "batch_size": True,
        "augment.mosaic": False,
        "optimizer.grad_clip_norm": False,
        "network_options.width": False,
    }
    assert space.ends("augment.random_scale") == (None, [0.8, 1.25])
    assert space.ends("batch_size") == (4, 16)
    assert SearchSpace.parse(space.to_dict()) == space


def test_exponents_without_a_point_are_numbers_too(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("optimizer.lr: {low: 5e-4, high: 1e-2, log: true}\n")
    assert SearchSpace.load(path).dimensions["optimizer.lr"] == Range(low=0.0005, high=0.01, log=True)


def test_membership() -> None:
    whole = Range(low=1, high=3)
    assert [value in whole for value in (0, 1, 3, 4, 2.5, True, None, "2")] == [
        False,
        True,
        True,
        False,
        True,
        *[False] * 3,
    ]
    choices = Choices(choices=(None, [0.8, 1.25], True))
    assert [value in choices for value in (None, [0.8, 1.25], True, 1, [1.25, 0.8])] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"expected keys of the training configuration, got"),
        ({}, r"expected keys of the training configuration, got"),
        ({"optimizer.momentun": {"low": 1, "high": 2}}, r"optimizer\.momentun: .*; did you mean optimizer\.momentum\?"),
        ({"freebie.label_smoothing": {"choices": [0]}}, "did you mean freebies?"),
        ({"epochs.more": {"choices": [0]}}, r"epochs\.more: expected a key of the training configuration"),
        ({"resize.padding": {"choices": [0]}}, r"resize\.padding: expected a key"),
        ({"epochs": 7}, "epochs: expected low and high, or choices, got 7"),
        ({"epochs": {"low": 2}}, "epochs: high: Field required"),
        ({"epochs": {"low": 2, "high": 2}}, "epochs: expected low below high, got 2 and 2"),
        ({"epochs": {"low": 2, "high": 3, "step": 1}}, "epochs: step: Extra inputs"),
        ({"augment.mosaic": {"low": 0, "high": 1, "log": True}}, "expected low above 0 for a logarithmic range"),
        ({"augment.mosaic": {"choices": []}}, "augment.mosaic: choices: "),
        ({"augment.mosaic": {"choices": [0, 0]}}, "expected distinct choices, got 0, 0"),
        ({"augment": {"choices": [{}]}, "augment.mosaic": {"choices": [0]}}, "expected no key inside augment"),
    ],
)
def test_what_is_wrong_is_named(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^space.yaml: .*{message}"):
        SearchSpace.parse(values, "space.yaml")


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("[: nonsense")
    for name in ("space.yaml", "none.yaml"):
        with pytest.raises(ConfigError, match=f"expected a YAML file at .*{name}"):
            SearchSpace.load(tmp_path / name)


def test_values_go_where_their_keys_say() -> None:
    config = TrainingConfig.parse({"loss": {"overrides": {"weights": {"xy": 2.0}}}, "ema": None})
    changed = with_values(
        config, {"optimizer.lr": 0.1, "loss.overrides.weights.box": 3.0, "ema.decay": 0.5, "epochs": 7}
    )
    assert (changed.optimizer.lr, changed.epochs) == (0.1, 7)
    assert changed.loss.overrides == {"weights": {"xy": 2.0, "box": 3.0}}
    assert changed.ema is not None
    assert changed.ema.decay == 0.5
    assert config.loss.overrides == {"weights": {"xy": 2.0}}
    assert value_at(changed, "loss.overrides.weights.box") == 3.0
    for key in ("loss.overrides.weights.wh", "ema.decay.more"):
        with pytest.raises(KeyError):
            value_at(changed, key)


@pytest.mark.parametrize("network", registry.names())
def test_the_built_in_space_fits_every_network(network: str) -> None:
    config = TrainingConfig(network=network, input_size=(64, 64))
    space = default_space(config)
    check_space(space, config, ("cat", "dog"))
    assert ("loss.overrides.weights.box" in space.dimensions) == network.startswith("yolov4")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": {"low": 0, "high": 9}}, "space.yaml: epochs: .*greater than or equal to 1, got 0"),
        (
            {"augment.mosaic": {"low": 0.5, "high": 1.5}},
            r"space.yaml: augment\.mosaic: .*less than or equal to 1, got 1\.5",
        ),
        ({"optimizer.name": {"choices": ["sgd", "adam"]}}, r"space.yaml: optimizer\.name: .*got 'adam'"),
        ({"batch_size": {"low": 1.5, "high": 4}}, "space.yaml: batch_size: .*valid integer"),
        ({"network": {"choices": ["yolov9"]}}, "space.yaml: network: expected a network among"),
        (
            {"network_options.wide": {"choices": [1.0]}},
            r"space.yaml: network_options\.wide: yolov4-tiny: expected options",
        ),
        ({"loss.overrides.box": {"choices": [1.0]}}, r"space.yaml: loss\.overrides\.box: unknown preset key 'box'"),
        ({"loss.preset": {"choices": ["v4", "v1"]}}, r"space.yaml: loss\.preset: preset 'v1' needs"),
    ],
)
def test_values_that_training_refuses_are_named(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_space(SearchSpace.parse(values, "space.yaml"), quick_config(), ("cat", "dog"))
