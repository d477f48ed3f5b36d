"""Starting points of a training: official and darknet weights, checkpoints and artifacts, taken as far as they fit.

What does not fit, as the heads for other classes, keeps the weights that were drawn, and is named and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from onnx import numpy_helper
from torch import Tensor, nn

from yoloscope.models import registry
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import classes_of_weights, load_backbone_weights, load_weights
from yoloscope.models.errors import ConfigError, WeightsError
from yoloscope.models.layers.convolution import BATCH_NORM_EPS, ConvBlock
from yoloscope.models.layers.weight_block import weighted_layers
from yoloscope.models.network import Network, eval_mode
from yoloscope.models.zoo import BUILTIN
from yoloscope.models.zoo.download import obtain_weights
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights
from yoloscope.training.checkpoint.files import first_not_finite
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.config import BUILTIN_NAME, START_EXPECTED, StartConfig
from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.logs import LOGGER

_SHOWN: Final = 4
_HALF_PREFIX: Final = "network/"
_FOLDED: Final = ("conv.weight", "conv.bias")

State = dict[str, Tensor]


@dataclass(frozen=True)
class Donor:
    """Layers with weights of another network, by name and in its order, as their state dictionaries.

    ``in_order``: names mean nothing, as in a network that was built from a cfg; layers go by their place.
    """

    layers: Mapping[str, State]
    in_order: bool = False

    @classmethod
    def of(cls, network: nn.Module, *, in_order: bool = False) -> Donor:
        """Return the layers of a network in torch."""
        return cls({name: layer.state_dict() for name, layer in _layers(network)}, in_order)


@dataclass(frozen=True)
class TakenWeights:
    """Names of the layers that were taken, and of those that were not, with the reason in words.

    ``folded`` are those whose normalization the donor has folded into the kernels.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    folded: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = f"{len(self.taken)} of {len(self.taken) + len(self.left)} layers taken"
        if not self.left:
            return count
        more = f" and {len(self.left) - _SHOWN} more" if len(self.left) > _SHOWN else ""
        return f"{count}, not {', '.join(self.left[:_SHOWN])}{more}"


def load_start(
    network: Network, start: str | Sequence[Path] | StartConfig, name: str, options: Mapping[str, Any]
) -> TakenWeights:
    """Fill the network (``name`` with ``options``) from a starting point as far as it fits; log and return what came.

    Raises ConfigError where there is no such thing, CheckpointError, ExportError, WeightsError or DownloadError where
    it cannot be read, and WeightsError where no layer fits.
    """
    if isinstance(start, StartConfig) and start.part != "other_classes":
        taken = _take_darknet_part(network, start)
    else:
        taken = take_layers(network, _donor(network, start, name, options))
        if not taken.taken:
            raise WeightsError(f"start: expected layers of {name} in {_shown(start)}, got none that fits")
    bad = first_not_finite(network)
    if bad is not None:
        raise WeightsError(f"start: expected finite weights in {_shown(start)}, got others in {bad}")
    LOGGER.info("start %s: %s", _shown(start), taken)
    return taken


@torch.no_grad()
def take_layers(network: nn.Module, donor: Donor) -> TakenWeights:
    """Copy every layer that has the same shapes in the donor; return which were taken and which were not.

    By their order, layers are taken up to the first one that is another, but for heads with other classes.
    """
    taken, left, folded = [], [], []
    diverged = False
    for (name, layer), given in zip(_layers(network), _partners(network, donor), strict=True):
        own = layer.state_dict()
        reason = "missing there" if given is None or diverged else _difference(own, given)
        if reason is None and given is not None:
            if given.keys() != own.keys():
                folded.append(name)
            layer.load_state_dict(given if given.keys() == own.keys() else _unfolded(own, given))
            taken.append(name)
            continue
        left.append(f"{name} ({reason})")
        is_head = isinstance(layer, ConvBlock) and layer.norm is None
        diverged = diverged or (donor.in_order and not is_head)
    return TakenWeights(tuple(taken), tuple(left), tuple(folded))


@torch.no_grad()
def unfold_norms(network: nn.Module, folded: Iterable[str], images: Tensor) -> None:
    """Give layers whose normalization was folded into their kernels one that has no effect on the network's output.

    Its mean and variance are those of the convolved ``images`` float [B, C, H, W] in 0..1, so that the network in
    training, which normalizes by its batch, starts from the same output.
    """
    blocks = [network.get_submodule(name) for name in folded]
    hooks = [
        block.conv.register_forward_hook(_measure(block.norm))
        for block in blocks
        if isinstance(block, ConvBlock) and block.norm is not None
    ]
    with eval_mode(network):
        network(images)
    for hook in hooks:
        hook.remove()


def _measure(norm: nn.BatchNorm2d) -> Callable[[nn.Module, object, Tensor], None]:
    """Return a hook behind a convolution that sets the normalization, which the kernels have already, by its map."""
    bias, own_mean, own_variance = norm.bias.clone(), norm.running_mean, norm.running_var
    assert own_mean is not None
    assert own_variance is not None

    def hook(_module: nn.Module, _inputs: object, convolved: Tensor) -> None:
        variance, mean = torch.var_mean(convolved, (0, 2, 3), correction=0)
        own_mean.copy_(mean)
        own_variance.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(bias + mean)

    return hook


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of every layer that owns weights, in darknet's order."""
    names = {id(module): name for name, module in network.named_modules()}
    for layer in weighted_layers(network):
        if isinstance(layer, nn.Module) and layer.weight_blocks():
            yield names[id(layer)], layer


def _partners(network: nn.Module, donor: Donor) -> list[State | None]:
    """Return the donor's layer for each of the network's."""
    names = [name for name, _ in _layers(network)]
    if not donor.in_order:
        return [donor.layers.get(name) for name in names]
    given = list(donor.layers.values())
    return [given[index] if index < len(given) else None for index in range(len(names))]


def _difference(own: State, given: State) -> str | None:
    """Return in words why the weights of a layer cannot be taken, or None where they can."""
    if given.keys() != own.keys() and not (given.keys() == set(_FOLDED) and "norm.weight" in own):
        return "another kind of layer there"
    for key, value in own.items():
        if key in given and given[key].shape != value.shape:
            return f"{_sides(value)} here, {_sides(given[key])} there"
    return None


def _unfolded(own: State, folded: State) -> State:
    """Return the state of a layer that computes what a folded one does: its normalization adds the bias alone."""
    state = own | {"conv.weight": folded["conv.weight"], "norm.bias": folded["conv.bias"]}
    state["norm.running_mean"] = torch.zeros_like(own["norm.running_mean"])
    state["norm.running_var"] = torch.ones_like(own["norm.running_var"])
    state["norm.weight"] = torch.full_like(own["norm.weight"], (1 + BATCH_NORM_EPS) ** 0.5)
    return state


def _sides(value: Tensor) -> str:
    return "x".join(map(str, value.shape))


def _shown(start: str | Sequence[Path] | StartConfig) -> str:
    if isinstance(start, StartConfig):
        return str(start.weights)
    return start if isinstance(start, str) else " and ".join(map(str, start))


def _take_darknet_part(network: Network, start: StartConfig) -> TakenWeights:
    """Load all of a .weights file, or its first layers, as the former spelling says; raises WeightsError."""
    names = [name for name, _ in _layers(network)]
    if start.part == "whole":
        load_weights(network, start.weights)
        return TakenWeights(tuple(names), ())
    count = load_backbone_weights(network, start.weights, start.layers)[1]
    return TakenWeights(tuple(names[:count]), tuple(f"{name} (not in the file)" for name in names[count:]))


def _donor(network: Network, start: str | Sequence[Path] | StartConfig, name: str, options: Mapping[str, Any]) -> Donor:
    if isinstance(start, StartConfig):
        size = (network.spec.input_width, network.spec.input_height)
        return _of_weights(start.weights, name, options, start.num_classes, size)
    if not isinstance(start, str):
        cfg, weights = sorted(start, key=lambda path: path.suffix != ".cfg")
        return _of_cfg(cfg, weights)
    if start in OFFICIAL:
        return _of_official(OFFICIAL[start], obtain_weights(OFFICIAL[start], LOGGER.info))
    path = BUILTIN if start == BUILTIN_NAME else Path(start)
    if path.is_dir() or path.suffix == ".ckpt":
        return Donor.of(load_checkpoint_network(path))
    return _of_file(network, path, name, options)


def _of_file(network: Network, path: Path, name: str, options: Mapping[str, Any]) -> Donor:
    if not path.is_file():
        raise ConfigError(f"start: expected {START_EXPECTED}, got {str(path)!r}")
    if path.suffix == ".onnx":
        return _of_artifact(path)
    if path.suffix == ".cfg":
        return _of_cfg(path, path.with_suffix(".weights"))
    if path.with_suffix(".cfg").is_file():
        return _of_cfg(path.with_suffix(".cfg"), path)
    return _of_plain_weights(network, path, name, options)


def _of_official(official: OfficialWeights, weights: Path) -> Donor:
    return _of_weights(weights, official.network, {}, len(official.class_names), None)


def _of_weights(
    weights: Path, name: str, options: Mapping[str, Any], num_classes: int, input_size: tuple[int, int] | None
) -> Donor:
    """Return the layers of a .weights file that a native network of so many classes was trained to."""
    donor = registry.build(name, num_classes, input_size=input_size, **options)
    load_weights(donor, weights)
    return Donor.of(donor)


def _of_plain_weights(network: Network, weights: Path, name: str, options: Mapping[str, Any]) -> Donor:
    """Return the layers of a .weights file alone: for any number of classes, or those of a backbone."""
    size = (network.spec.input_width, network.spec.input_height)
    usual = registry.build(name, network.spec.num_classes, input_size=size, **options)
    classes = classes_of_weights(usual, usual.spec, weights)
    if classes is not None:
        return _of_weights(weights, name, options, classes, size)
    try:
        count = load_backbone_weights(usual, weights)[1]
    except WeightsError:
        load_weights(usual, weights)
        raise
    return Donor(dict(list(Donor.of(usual).layers.items())[:count]))


def _of_cfg(cfg: Path, weights: Path) -> Donor:
    for path in (cfg, weights):
        if not path.is_file():
            raise ConfigError(f"start: expected a darknet .cfg and its .weights file, got none at {path}")
    network = build_darknet(cfg)
    load_weights(network, weights)
    return Donor.of(network, in_order=True)


def _of_artifact(path: Path) -> Donor:
    """Return the convolutions of an artifact, with their normalization folded into them as it was exported."""
    model, spec = read_artifact(path)
    if spec.precision is not None and spec.precision.kind == "int8":
        raise WeightsError(f"start: expected an artifact in full or half precision, got one in 8 bits: {path}")
    tensors = {one.name: one for one in model.graph.initializer}
    layers: dict[str, State] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in tensors:
            continue
        name = node.input[1].removeprefix(_HALF_PREFIX).removeprefix("network.").removesuffix(".conv.weight")
        bias = numpy_helper.to_array(tensors[node.input[2]]) if len(node.input) > 2 else None
        weight = torch.from_numpy(numpy_helper.to_array(tensors[node.input[1]]).copy()).float()
        layers[name] = {
            "conv.weight": weight,
            "conv.bias": torch.zeros(len(weight)) if bias is None else torch.from_numpy(bias.copy()).float(),
        }
    imported = all(name.startswith("layers.") for name in layers)
    return Donor(dict(sorted(layers.items(), key=_place) if imported else layers), in_order=imported)


def _place(layer: tuple[str, State]) -> int:
    return int(layer[0].split(".")[1])
