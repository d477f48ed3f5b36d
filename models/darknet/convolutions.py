"""Builders of the sections that convolve: convolutional, local, crnn (darknet src/parser.c)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, Shape
from yoloscope.models.darknet.options import Options
from yoloscope.models.layers.antialias import Antialiased, Blur
from yoloscope.models.layers.convolution import ConvBlock, SharedConvBlock
from yoloscope.models.layers.crnn import FirstFrameRecurrence
from yoloscope.models.layers.local import LocalConv
from yoloscope.models.layers.xnor import BinaryWeightConvBlock, XnorConvBlock

_BLUR_GEOMETRY = {1: (3, 1), 2: (2, 0)}


def build_convolutional(options: Options, context: Context) -> BuiltLayer:
    """Build [convolutional]."""
    entering = context.input_shape(options)
    stride = strides(options)
    blur = antialiasing(options)
    block = _shared(options, context, stride) if options.has("share_index") else _owned(options, context, stride)
    convolved = _convolved_shape(options, entering, (1, 1) if blur else stride)
    if not blur:
        return BuiltLayer(block, convolved, (context.previous,))
    return BuiltLayer(
        Antialiased(block, Blur(blur, stride)), blurred(options, convolved, blur, stride), (context.previous,)
    )


def strides(options: Options) -> tuple[int, int]:
    """Return (vertical, horizontal) strides; stride_y and stride_x below 1 mean stride."""
    both = options.integer("stride", 1, minimum=1)
    vertical, horizontal = options.integer("stride_y", 0), options.integer("stride_x", 0)
    return vertical if vertical > 0 else both, horizontal if horizontal > 0 else both


def antialiasing(options: Options) -> Literal[0, 1, 2]:
    """Return the kind of blur, 0 for none."""
    kind = options.integer("antialiasing", 0, minimum=0)
    return 0 if kind == 0 else 2 if kind == 2 else 1


def blurred(options: Options, shape: Shape, kind: Literal[1, 2], stride: tuple[int, int]) -> Shape:
    """Return the shape after a blur that subsamples."""
    size, padding = _BLUR_GEOMETRY[kind]
    height, width = (
        (length + 2 * padding - size) // step + 1
        for length, step in zip((shape.height, shape.width), stride, strict=True)
    )
    return checked(options, Shape(shape.channels, height, width), shape)


def checked(options: Options, shape: Shape, entering: Shape) -> Shape:
    """Return the shape; raise where the input was too small for the layer."""
    if min(shape.channels, shape.height, shape.width) < 1:
        options.fail("size", f"an input of {entering} leaves nothing: the network input is too small")
    return shape


def _padding(options: Options, size: int) -> int:
    return size // 2 if options.flag("pad") else options.integer("padding", 0, minimum=0)


def _convolved_shape(options: Options, entering: Shape, stride: tuple[int, int]) -> Shape:
    size = options.integer("size", 1, minimum=1)
    padding, dilation = _padding(options, size), _dilation(options, size)
    filters = options.integer("filters", 1, minimum=1)
    lengths = []
    for length, step in zip((entering.height, entering.width), stride, strict=True):
        plain = (length + 2 * padding - size) // step + 1
        dilated = (length + 2 * padding * dilation - dilation * (size - 1) - 1) // step + 1
        if plain != dilated:
            options.refuse("dilation", "darknet's output size ignores it and is wrong unless pad=1 and size is odd")
        lengths.append(plain)
    return checked(options, Shape(filters, *lengths), entering)


def _dilation(options: Options, size: int) -> int:
    return 1 if size == 1 else options.integer("dilation", 1, minimum=1)


def _owned(options: Options, context: Context, stride: tuple[int, int]) -> ConvBlock:
    entering = context.input_shape(options)
    size = options.integer("size", 1, minimum=1)
    filters = options.integer("filters", 1, minimum=1)
    dilation = _dilation(options, size)
    xnor = options.flag("xnor")
    block = XnorConvBlock if xnor else BinaryWeightConvBlock if options.flag("binary") else ConvBlock
    return block(
        entering.channels,
        filters,
        size,
        (1, 1) if antialiasing(options) else stride,
        padding=_padding(options, size) * dilation,
        dilation=dilation,
        groups=1 if xnor else _groups(options, entering.channels, filters),
        batch_norm=_normalizes(options),
        activation=_activation(options, context),
        flipped=options.flag("flipped"),
    )


def _normalizes(options: Options) -> bool:
    return options.flag("batch_normalize") or options.flag("cbn")


def _groups(options: Options, channels: int, filters: int) -> int:
    groups = max(options.integer("groups", 1), 1)
    if channels % groups or filters % groups:
        options.fail("groups", f"expected a divisor of {channels} input channels and {filters} filters, got {groups}")
    return groups


def _activation(options: Options, context: Context) -> str:
    name = options.activation("logistic")
    if context.index in context.feeds_new_coords:
        return "linear"
    binary_output = options.flag("xnor") and options.flag("bin_output")
    return "linear" if binary_output and context.index not in context.referenced else name


def _shared(options: Options, context: Context, stride: tuple[int, int]) -> SharedConvBlock:
    entering = context.input_shape(options)
    source = _share_source(options, context)
    size, filters = options.integer("size", 1, minimum=1), options.integer("filters", 1, minimum=1)
    dilation = _dilation(options, size)
    groups = _groups(options, entering.channels, filters)
    expected = (filters, entering.channels // groups, size, size)
    if tuple(source.conv.weight.shape) != expected:
        options.fail("share_index", f"expected kernels {expected}, got {tuple(source.conv.weight.shape)}")
    if (source.norm is not None) != _normalizes(options):
        options.refuse("share_index", "only one of the two layers has batch_normalize=1")
    padding = _padding(options, size) * dilation
    own_stride = (1, 1) if antialiasing(options) else stride
    return SharedConvBlock(source, own_stride, padding, dilation, groups, _activation(options, context))


def _share_source(options: Options, context: Context) -> ConvBlock:
    index = context.resolve(options, "share_index", options.integer("share_index", 0))
    module: nn.Module = context.layers[index].module
    module = module.layer if isinstance(module, Antialiased) else module
    module = module.source if isinstance(module, SharedConvBlock) else module
    if type(module) is not ConvBlock or options.flag("xnor") or options.flag("binary"):
        options.refuse("share_index", f"layer {index} and this one must both be plain [convolutional] layers")
    return module


def build_local(options: Options, context: Context) -> BuiltLayer:
    """Build [local]."""
    entering = context.input_shape(options)
    module = LocalConv(
        entering.channels,
        entering.height,
        entering.width,
        options.integer("filters", 1, minimum=1),
        options.integer("size", 1, minimum=1),
        options.integer("stride", 1, minimum=1),
        padding=options.integer("pad", 0, minimum=0),
        activation=options.activation("logistic"),
    )
    shape = Shape(module.weights.shape[1], module.rows, module.columns)
    return BuiltLayer(module, checked(options, shape, entering), (context.previous,))


def build_crnn(options: Options, context: Context) -> BuiltLayer:
    """Build [crnn] for the first frame: the state is zero."""
    entering = context.input_shape(options)
    size = options.integer("size", 3, minimum=1)
    padding = _padding(options, size)
    if options.integer("stride", 1) != 1 or 2 * padding != size - 1:
        options.refuse("size", "the state needs a convolution that keeps the map's size")
    if options.integer("dilation", 1) > 1 or options.flag("xnor"):
        options.refuse("dilation" if options.integer("dilation", 1) > 1 else "xnor", "not with a recurrent state")
    hidden, output = options.integer("hidden", 1, minimum=1), options.integer("output", 1, minimum=1)
    widths = ((entering.channels, hidden), (hidden, hidden), (hidden, output))
    blocks = [
        ConvBlock(
            channels,
            filters,
            size,
            groups=_groups(options, channels, filters),
            batch_norm=options.flag("batch_normalize"),
            activation=options.activation("logistic"),
        )
        for channels, filters in widths
    ]
    context.notices.append(f"{options.where} is recurrent: every image is taken as the first frame of a video")
    shape = Shape(output, entering.height, entering.width)
    return BuiltLayer(FirstFrameRecurrence(*blocks), shape, (context.previous,))
