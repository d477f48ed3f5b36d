"""Starting from darknet's weights instead of from chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models import registry
from models.darknet.weights import load_backbone_weights, load_weights
from models.errors import WeightsError
from models.outline import Network
from training.config import StartConfig


def load_start(network: Network, start: StartConfig, name: str, options: Mapping[str, Any]) -> int:
    """Fill the network from a .weights file as ``start`` says; return how many tensors or layers were taken.

    Raises WeightsError where the file does not fit.
    """
    if start.part == "whole":
        load_weights(network, start.weights)
        return len(network.state_dict())
    if start.part == "backbone":
        return load_backbone_weights(network, start.weights, start.layers)[1]
    return _load_other_classes(network, start, name, options)


@torch.no_grad()
def _load_other_classes(network: Network, start: StartConfig, name: str, options: Mapping[str, Any]) -> int:
    """Take every tensor that has the same name and shape in the network the file was trained with."""
    spec = network.spec
    size = (spec.input_width, spec.input_height)
    donor = registry.build(name, start.num_classes, input_size=size, **options)
    load_weights(donor, start.weights)
    own, given = network.state_dict(), donor.state_dict()
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise WeightsError(f"expected layers of {name} in {start.weights}, got none that fits")
    network.load_state_dict(own | fitting)
    return len(fitting)
