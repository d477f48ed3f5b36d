"""The network of a checkpoint, without the data it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from yoloscope.models import registry
from yoloscope.models.errors import CheckpointError, ConfigError, SpecError
from yoloscope.models.network import Network
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.checkpoint.files import CONFIG, find_checkpoint, read_checkpoint
from yoloscope.training.checkpoint.progress import RunProgress, trained_spec
from yoloscope.training.config import TrainingConfig


def load_checkpoint_network(path: Path) -> Network:
    """Return the network that a checkpoint or a run's folder holds, on the CPU, in evaluation mode, with its spec.

    Its weights are what the run validates and exports: their average where the run keeps one. Layers that differ in
    training alone (accumulating normalization) are plain ones. Raises CheckpointError for a file that is none or does
    not agree with itself.
    """
    path = find_checkpoint(path)
    state = read_checkpoint(path)
    try:
        config = _config(state, path)
        spec, progress = DetectorSpec.from_json(state["spec"]), RunProgress.from_dict(state["progress"])
        network = _build(config, spec)
        network.load_state_dict(_evaluated_weights(state))
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError, SpecError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"expected a whole checkpoint at {path}, got {type(error).__name__}: {reason}") from error
    network.spec = trained_spec(spec, config, progress)
    return network.eval()


def _config(state: Mapping[str, Any], path: Path) -> TrainingConfig:
    """Return the configuration in a checkpoint; the best weights of early runs have theirs in the folder alone."""
    if "config" not in state:
        return TrainingConfig.load(path.with_name(CONFIG))
    return TrainingConfig.parse(yaml.safe_load(state["config"]), f"the configuration in {path}")


def _build(config: TrainingConfig, spec: DetectorSpec) -> Network:
    """Return an untrained network of the structure that the spec describes."""
    return registry.build(
        config.network,
        len(spec.class_names),
        spec.anchors_px or None,
        (spec.input_width, spec.input_height),
        class_names=spec.class_names,
        **config.network_options,
    )


def _evaluated_weights(state: Mapping[str, Any]) -> Mapping[str, Any]:
    average = state.get("average")
    weights: Mapping[str, Any] = state["network"] if average is None else average["average"]
    return weights
