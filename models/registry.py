"""The native networks by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NamedTuple

from yoloscope.models.errors import ConfigError
from yoloscope.models.network import Network, NetworkConfig
from yoloscope.models.spec import RGB_CHANNELS
from yoloscope.models.yolov1 import yolov1, yolov1_tiny
from yoloscope.models.yolov2 import yolov2, yolov2_tiny, yolov2_tiny_voc, yolov2_voc
from yoloscope.models.yolov3 import yolov3, yolov3_spp, yolov3_tiny
from yoloscope.models.yolov4 import yolov4, yolov4_csp, yolov4_tiny

NetworkOption = bool | float | str


class _Entry(NamedTuple):
    """Builder of a network, the side of its published input, and its largest stride."""

    build: Callable[..., Network]
    side: int
    stride: int = 32


_NETWORKS = MappingProxyType(
    {
        "yolov1": _Entry(yolov1, 448, 64),
        "yolov1-tiny": _Entry(yolov1_tiny, 448, 64),
        "yolov2": _Entry(yolov2, 416),
        "yolov2-voc": _Entry(yolov2_voc, 416),
        "yolov2-tiny": _Entry(yolov2_tiny, 416),
        "yolov2-tiny-voc": _Entry(yolov2_tiny_voc, 416),
        "yolov3": _Entry(yolov3, 416),
        "yolov3-tiny": _Entry(yolov3_tiny, 416),
        "yolov3-spp": _Entry(yolov3_spp, 608),
        "yolov4": _Entry(yolov4, 608),
        "yolov4-tiny": _Entry(yolov4_tiny, 416),
        "yolov4-csp": _Entry(yolov4_csp, 512),
    }
)


def names() -> tuple[str, ...]:
    """Return the names of the native networks."""
    return tuple(_NETWORKS)


def options(name: str) -> tuple[str, ...]:
    """Return the names of the options that a network's builder takes."""
    return tuple(inspect.signature(_entry(name).build).parameters)[1:]


def largest_stride(name: str) -> int:
    """Return the pixels of which both sides of a network's input must be multiples; raise ConfigError."""
    return _entry(name).stride


def build(
    name: str,
    num_classes: int = 80,
    anchors: Sequence[tuple[float, float]] | None = None,
    input_size: tuple[int, int] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    channels: NetworkOption = RGB_CHANNELS,
    **network_options: NetworkOption,
) -> Network:
    """Return an untrained network of a name, with its spec.

    ``anchors`` are (width, height) in network pixels, shared out among the heads by size; without them the published
    ones are used. ``input_size`` is (width, height), multiples of 32 (YOLOv1: 64). ``class_names`` default to class_0,
    class_1, ... ``channels`` are those of the network's input: 3 for RGB, 1 for gray, which images are
    made for it. Raises ConfigError for an unknown name or option, for an option of another kind than its builder says,
    and for sizes, anchors or names that do not fit.
    """
    entry = _entry(name)
    unknown = set(network_options) - set(options(name))
    if unknown:
        known = ", ".join(options(name)) or "none"
        raise ConfigError(f"{name}: expected options among {known}, got {', '.join(sorted(unknown))}")
    width, height = input_size or (entry.side, entry.side)
    config = NetworkConfig(
        name=name,
        class_names=_class_names(num_classes, class_names),
        input_width=width,
        input_height=height,
        anchors_px=None if anchors is None else tuple((float(w), float(h)) for w, h in anchors),
        input_channels=_count(f"{name}: channels", channels),
    )
    parameters = inspect.signature(entry.build, eval_str=True).parameters
    checked = {key: _option(f"{name}: {key}", parameters[key], value) for key, value in network_options.items()}
    return entry.build(config, **checked)


def _entry(name: str) -> _Entry:
    if name not in _NETWORKS:
        raise ConfigError(f"expected a network among {', '.join(_NETWORKS)}, got {name!r}")
    return _NETWORKS[name]


def _option(where: str, parameter: inspect.Parameter, value: NetworkOption) -> NetworkOption:
    """Return an option as its builder's annotation has it: a switch, a word, a count, a factor or a probability.

    A float that is 0 by default is a probability, another one a factor. Builders check the words themselves.
    """
    kind, probability = parameter.annotation, parameter.default == 0
    if kind in (bool, str):
        if type(value) is not kind:
            raise ConfigError(f"{where}: expected {'true or false' if kind is bool else 'a word'}, got {value!r}")
        return value
    number = math.nan if isinstance(value, bool | str) else float(value)
    if kind is int:
        return _count(where, value)
    if probability and not 0 <= number < 1:
        raise ConfigError(f"{where}: expected a probability in 0..1, 1 excluded, got {value!r}")
    if not (probability or 0 < number < math.inf):
        raise ConfigError(f"{where}: expected a positive finite number, got {value!r}")
    return number


def _count(where: str, value: NetworkOption) -> int:
    number = math.nan if isinstance(value, bool | str) else float(value)
    if not (number >= 1 and number.is_integer()):
        raise ConfigError(f"{where}: expected a whole number of at least 1, got {value!r}")
    return int(number)


def _class_names(num_classes: int, given: Sequence[str] | None) -> tuple[str, ...]:
    if num_classes < 1:
        raise ConfigError(f"expected at least one class, got {num_classes}")
    if given is None:
        return tuple(f"class_{index}" for index in range(num_classes))
    if len(given) != num_classes:
        raise ConfigError(f"expected {num_classes} class names, got {len(given)}")
    return tuple(given)
