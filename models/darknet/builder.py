"""Building of a torch network from a darknet cfg, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from yoloscope.models.darknet.cfg import Entry, Section, parse_cfg
from yoloscope.models.darknet.detector_spec import derive_spec
from yoloscope.models.darknet.foreign_files import HEAD_BYTES, describe_file, is_text
from yoloscope.models.darknet.keys import NET_INERT
from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, LayerType, Shape
from yoloscope.models.darknet.layer_types import ALIASES, LAYER_TYPES, NET_KEYS, REFUSED_TYPES
from yoloscope.models.darknet.network import DarknetNetwork
from yoloscope.models.darknet.options import Options, unknown_key
from yoloscope.models.errors import CfgError, ConfigError, UnsupportedLayerError

_JOINING = {"route": "layers", "shortcut": "from", "sam": "from", "scale_channels": "from"}
_OFF = {"", "0", "0.0", "none"}


def build_darknet(
    cfg: str | Path,
    class_names: Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    name: str | None = None,
) -> DarknetNetwork:
    """Build the network of a cfg, with fresh weights, in evaluation mode.

    ``cfg`` is a path or the text itself. ``class_names`` must be as many as the heads' classes. ``input_size``
    (width, height) overrides that of [net]. Raises CfgError naming line and key for what is wrong or unknown, and
    UnsupportedLayerError naming line, layer and reason for what is refused.
    """
    text, path = _read(cfg)
    net, *sections = parse_cfg(text)
    _check_net(net)
    options = Options(net, NET_KEYS)
    context = _context(options, sections, input_size, None if path is None else path.parent)
    _announce([net], NET_INERT, context)
    for section in sections:
        context.layers.append(_build_layer(section, context))
        context.names.append(section.name)
    _announce_by_type(sections, context)
    plans = [layer.head for layer in context.layers if layer.head is not None]
    if not plans:
        raise CfgError("expected a detector: the cfg has no [yolo], [Gaussian_yolo], [region] or [detection] section")
    title = name or (path.stem if path else "darknet")
    spec = derive_spec(title, plans, context, class_names, letterbox=options.flag("letter_box"))
    return DarknetNetwork(context.names, context.layers, spec, tuple(context.notices), tuple(context.missing)).eval()


def _read(cfg: str | Path) -> tuple[str, Path | None]:
    if isinstance(cfg, str) and ("\n" in cfg or cfg.lstrip().startswith("[") or not cfg.strip()):
        return cfg, None
    path = Path(cfg)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CfgError(f"cannot read the cfg {path}: {error.strerror}") from error
    head = content[:HEAD_BYTES]
    if not is_text(head) or head.lstrip().startswith((b"<", b"version https://git-lfs")):
        kind = describe_file(head) or "a binary file, as the weights are: the cfg comes first and the weights second"
        raise CfgError(f"expected a darknet cfg, got {kind}")
    return content.decode("utf-8", errors="replace"), path


def _context(
    options: Options, sections: Sequence[Section], input_size: tuple[int, int] | None, folder: Path | None
) -> Context:
    channels = options.integer("channels", 3, minimum=1)
    if options.integer("inputs", 0):
        options.refuse("inputs", "the input is an image of width, height and channels")
    width, height = input_size or (options.integer("width", 0), options.integer("height", 0))
    if min(width, height) < 1:
        raise (ConfigError if input_size else CfgError)(
            f"{options.where}: expected width and height of at least 1, got {width} and {height}"
        )
    return Context(
        Shape(channels, height, width), referenced_layers(sections), layers_feeding_new_coords(sections), folder
    )


def _canonical(section: Section) -> str:
    return ALIASES.get(section.name, section.name)


def _build_layer(section: Section, context: Context) -> BuiltLayer:
    layer_type = _layer_type(section)
    for entry in section.entries.values():
        _check_key(section, entry, layer_type)
    options = Options(section, layer_type.keys)
    try:
        return layer_type.build(options, context)
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise CfgError(f"{options.where} cannot be built, its numbers are too large: {error}") from error


def _layer_type(section: Section) -> LayerType:
    name = _canonical(section)
    if name in LAYER_TYPES:
        return LAYER_TYPES[name]
    reason = REFUSED_TYPES.get(name, "darknet has no such layer")
    raise UnsupportedLayerError(f"cfg line {section.line}: layer [{section.name}] is not supported: {reason}")


def _check_key(section: Section, entry: Entry, layer_type: LayerType) -> None:
    if entry.key in layer_type.refused:
        if entry.value not in _OFF:
            raise UnsupportedLayerError(
                f"cfg line {entry.line}: [{section.name}] {entry.key}={entry.value} is not supported: "
                f"{layer_type.refused[entry.key]}"
            )
    elif entry.key not in layer_type.keys and entry.key not in layer_type.inert:
        raise unknown_key(section, entry, {**layer_type.keys, **layer_type.inert, **layer_type.refused})


def _announce_by_type(sections: Sequence[Section], context: Context) -> None:
    by_type: defaultdict[str, list[Section]] = defaultdict(list)
    for section in sections:
        by_type[_canonical(section)].append(section)
    for name, group in by_type.items():
        _announce(group, LAYER_TYPES[name].inert, context)


def _announce(sections: Sequence[Section], inert: Mapping[str, str], context: Context) -> None:
    """Add one notice per reason about the inert keys of sections of one type, and one per repeated key."""
    name = sections[0].name
    reasons: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for section in sections:
        for key in section.entries:
            if key in inert:
                reasons[inert[key]][key] = None
        for entry in section.repeated:
            first = section.entries[entry.key]
            context.notices.append(
                f"cfg line {entry.line}: [{name}] {entry.key}={entry.value} repeats line {first.line}, which counts"
            )
    for reason, keys in reasons.items():
        context.notices.append(f"[{name}] without effect on detections ({reason}): {', '.join(keys)}")


def _check_net(section: Section) -> None:
    for entry in section.entries.values():
        if entry.key not in NET_KEYS and entry.key not in NET_INERT:
            raise unknown_key(section, entry, {**NET_KEYS, **NET_INERT})


def referenced_layers(sections: Sequence[Section]) -> frozenset[int]:
    """Return the absolute indices that any route, shortcut, sam or scale_channels names."""
    return frozenset(
        index + relative if relative < 0 else relative
        for index, section in enumerate(sections)
        if section.name in _JOINING
        for relative in _integers(_value(section, _JOINING[section.name], ""))
    )


def layers_feeding_new_coords(sections: Sequence[Section]) -> frozenset[int]:
    """Return the logistic convolutions read by a new_coords head alone: decoding applies their logistic."""
    taken = referenced_layers(sections)
    return frozenset(
        index - 1
        for index, section in enumerate(sections)
        if index
        and section.name == "yolo"
        and any(_integers(_value(section, "new_coords", "0")))
        and _is_logistic_convolution(sections[index - 1])
        and index - 1 not in taken
    )


def _is_logistic_convolution(section: Section) -> bool:
    return (
        section.name in {"convolutional", "conv"}
        and _value(section, "activation", "logistic") == "logistic"
        and not any(_integers(_value(section, "antialiasing", "0")))
    )


def _value(section: Section, key: str, default: str) -> str:
    entry = section.entries.get(key)
    return default if entry is None else entry.value


def _integers(text: str) -> Iterator[int]:
    """Yield the whole numbers of a list; the builders complain about the rest."""
    for item in text.split(","):
        if item.strip().lstrip("+-").isdigit():
            yield int(item)
