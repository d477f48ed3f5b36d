"""A search space held against the run that it varies, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from models import registry
from models.errors import ConfigError, YoloscopeError
from models.spec import DetectorSpec
from training.config import TrainingConfig
from training.recipe import configured_spec
from training.search_space import SearchSpace, with_values

_USUAL: Final[dict[str, Any]] = {
    "optimizer.rate": {"low": 0.0005, "high": 0.01, "log": True},
    "optimizer.weight_decay": {"low": 0.00001, "high": 0.05, "log": True},
    "augment.mosaic": {"low": 0.0, "high": 1.0},
    "augment.random_scale": {"choices": [None, [0.8, 1.25], [0.7, 1.4], [0.5, 2.0]]},
    "average.decay": {"choices": [0.99, 0.995, 0.998, 0.999, 0.9998]},
}
_BOX_WEIGHT: Final = {"loss.overrides.weights.box": {"low": 1.0, "high": 25.0, "log": True}}


def default_space(config: TrainingConfig) -> SearchSpace:
    """Return what is searched where nothing is said: rate, decay, Mosaic, scale, average and (v4) the box weight."""
    weighs_boxes = _spec(config, ("object",)).loss.preset == "v4"
    return SearchSpace.parse(_USUAL | (_BOX_WEIGHT if weighs_boxes else {}), "the built-in search space")


def check_space(space: SearchSpace, config: TrainingConfig, class_names: Sequence[str]) -> None:
    """Raise ConfigError naming the first key with a value that the run of ``config`` cannot have."""
    _spec(config, class_names)
    for key in space.dimensions:
        for value in space.ends(key):
            source = f"{space.source}: {key}"
            try:
                _spec(with_values(config, {key: value}, source), class_names)
            except ConfigError as error:
                raise ConfigError(_named(source, str(error))) from error
            except YoloscopeError as error:
                raise ConfigError(f"{source}: {error}") from error


def _named(source: str, message: str) -> str:
    return message if message.startswith(source) else f"{source}: {message}"


def _spec(config: TrainingConfig, class_names: Sequence[str]) -> DetectorSpec:
    """Return the description of the network of a run, built without weights."""
    with torch.device("meta"):
        network = registry.build(
            config.network,
            len(class_names),
            None if isinstance(config.anchors, str) else config.anchors,
            config.input_size,
            class_names=class_names,
            **config.network_options,
        )
    return configured_spec(network.spec, config)
