"""Builders of the sections that read earlier layers: route, shortcut, sam, scale_channels."""

from __future__ import annotations

from typing import Literal

from torch import nn

from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, Shape
from yoloscope.models.darknet.options import Options
from yoloscope.models.layers.concat import Concat
from yoloscope.models.layers.residual import ResidualSum, WeightedResidual
from yoloscope.models.layers.sam import AttentionProduct
from yoloscope.models.layers.scale_channels import ScaleChannels

_NORMALISATIONS: dict[str, Literal["relu", "softmax"]] = {"relu": "relu", "avg_relu": "relu", "softmax": "softmax"}
_NORMALISATION_KEYS = ("weights_normalization", "weights_normalizion")


def _sources(options: Options, context: Context, key: str) -> tuple[int, ...]:
    sources = tuple(context.resolve(options, key, index) for index in options.integers(key))
    if not sources:
        options.fail(key, "expected at least one layer, got none")
    return sources


def _same_sides(options: Options, key: str, first: Shape, other: Shape) -> None:
    if (first.height, first.width) != (other.height, other.width):
        options.fail(key, f"cannot join {first} with {other}; the network width and height may need another divisor")


def build_route(options: Options, context: Context) -> BuiltLayer:
    """Build [route]: concatenation, of one group of every layer where groups= is given."""
    sources = _sources(options, context, "layers")
    groups = max(options.integer("groups", 1), 1)
    group = options.integer("group_id", 0, minimum=0)
    shapes = [context.shape_of(source, options) for source in sources]
    for shape in shapes:
        _same_sides(options, "layers", shapes[0], shape)
        if shape.channels % groups:
            options.fail("groups", f"expected a divisor of {shape.channels} channels, got {groups}")
    if group >= groups:
        options.fail("group_id", f"expected less than groups={groups}, got {group}")
    channels = sum(shape.channels for shape in shapes) // groups
    return BuiltLayer(Concat(groups, group), Shape(channels, shapes[0].height, shapes[0].width), sources)


def build_shortcut(options: Options, context: Context) -> BuiltLayer:
    """Build [shortcut]: a sum, weighted with weights_type=."""
    entering = context.input_shape(options)
    others = _sources(options, context, "from")
    for other in others:
        _same_sides(options, "from", entering, context.shape_of(other, options))
    sources = (context.previous, *others)
    for factor in ("alpha", "beta"):
        if options.number(factor, 1.0) != 1:
            options.refuse(
                factor, f"a factor of pjreddie's darknet alone, expected 1, got {options.number(factor, 1.0):g}"
            )
    kind = options.text("weights_type", "none")
    if kind == "none":
        return BuiltLayer(ResidualSum(options.activation("linear")), entering, sources)
    if kind not in {"per_feature", "per_layer", "per_channel"}:
        options.refuse("weights_type", f"expected none, per_feature, per_layer or per_channel, got {kind!r}")
    module = WeightedResidual(
        len(sources),
        entering.channels,
        per_channel=kind == "per_channel",
        normalization=_normalization(options),
        activation=options.activation("linear"),
    )
    return BuiltLayer(module, entering, sources)


def _normalization(options: Options) -> Literal["relu", "softmax"]:
    key = next((key for key in _NORMALISATION_KEYS if options.has(key)), _NORMALISATION_KEYS[0])
    name = options.text(key, "none")
    if name not in _NORMALISATIONS:
        options.refuse(key, f"darknet takes weighted shortcuts with relu or softmax only, got {name!r}")
    return _NORMALISATIONS[name]


def _product(options: Options, context: Context, factors: Shape, module: nn.Module) -> BuiltLayer:
    source = context.resolve(options, "from", options.integer("from", 0))
    shape = context.shape_of(source, options)
    sides = {(shape.height, shape.width), (1, 1)}
    if factors.channels not in {shape.channels, 1} or (factors.height, factors.width) not in sides:
        options.fail("from", f"cannot multiply {factors} with {shape}")
    return BuiltLayer(module, shape, (context.previous, source))


def build_sam(options: Options, context: Context) -> BuiltLayer:
    """Build [sam]: an elementwise product."""
    factors = context.input_shape(options)
    layer = _product(options, context, factors, AttentionProduct(options.activation("linear")))
    if layer.shape != factors:
        options.fail("from", f"expected a layer of {factors}, got {layer.shape}")
    return layer


def build_scale_channels(options: Options, context: Context) -> BuiltLayer:
    """Build [scale_channels]: one factor per channel, or per cell with scale_wh=1."""
    factors = context.input_shape(options)
    per_cell = options.flag("scale_wh")
    if factors.channels != 1 if per_cell else (factors.height, factors.width) != (1, 1):
        options.fail("scale_wh", f"expected {'one channel' if per_cell else 'one cell per channel'}, got {factors}")
    return _product(options, context, factors, ScaleChannels(options.activation("linear")))
