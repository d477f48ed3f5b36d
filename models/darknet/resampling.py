"""Builders of the sections that change a map's size without weights: pools, upsample, reorg, crop."""

from __future__ import annotations

from yoloscope.models.darknet.convolutions import antialiasing, blurred, checked, strides
from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, Shape
from yoloscope.models.darknet.options import Options
from yoloscope.models.layers.antialias import Antialiased, Blur
from yoloscope.models.layers.crop import CenterCrop
from yoloscope.models.layers.pooling import DepthMaxPool, GlobalAvgPool, LocalAvgPool, MaxPool, pooled_length
from yoloscope.models.layers.space_to_depth import DepthToSpace, PassthroughReorder, SpaceToDepth
from yoloscope.models.layers.upsample import SumDownsample, Upsample


def _pool_geometry(options: Options) -> tuple[int, tuple[int, int], int]:
    stride = strides(options)
    size = options.integer("size", options.integer("stride", 1), minimum=1)
    return size, stride, options.integer("padding", size - 1, minimum=0)


def _pooled(options: Options, entering: Shape, size: int, stride: tuple[int, int], padding: int) -> Shape:
    height = pooled_length(entering.height, size, stride[0], padding)
    width = pooled_length(entering.width, size, stride[1], padding)
    if padding // 2 >= size:
        options.refuse("padding", "some windows would lie wholly outside the map")
    return checked(options, Shape(entering.channels, height, width), entering)


def build_maxpool(options: Options, context: Context) -> BuiltLayer:
    """Build [maxpool], over windows or over channels."""
    entering = context.input_shape(options)
    if options.flag("maxpool_depth"):
        channels = options.integer("out_channels", 1, minimum=1)
        shape = Shape(channels, entering.height, entering.width)
        return BuiltLayer(DepthMaxPool(channels), shape, (context.previous,))
    size, stride, padding = _pool_geometry(options)
    blur = antialiasing(options)
    if not blur:
        shape = _pooled(options, entering, size, stride, padding)
        return BuiltLayer(MaxPool(size, stride, padding), shape, (context.previous,))
    pooled = _pooled(options, entering, size, (1, 1), padding)
    module = Antialiased(MaxPool(size, 1, padding), Blur(blur, stride))
    return BuiltLayer(module, blurred(options, pooled, blur, stride), (context.previous,))


def build_local_avgpool(options: Options, context: Context) -> BuiltLayer:
    """Build [local_avgpool]."""
    entering = context.input_shape(options)
    size, stride, padding = _pool_geometry(options)
    shape = _pooled(options, entering, size, stride, padding)
    return BuiltLayer(LocalAvgPool(size, stride, padding), shape, (context.previous,))


def build_avgpool(options: Options, context: Context) -> BuiltLayer:
    """Build [avgpool]: the mean of the whole map."""
    return BuiltLayer(GlobalAvgPool(), Shape(context.input_shape(options).channels, 1, 1), (context.previous,))


def build_upsample(options: Options, context: Context) -> BuiltLayer:
    """Build [upsample]; a negative stride sums instead."""
    entering = context.input_shape(options)
    stride, scale = options.integer("stride", 2), options.number("scale", 1.0)
    if stride == 0:
        options.fail("stride", "expected a number other than 0, got 0")
    if stride > 0:
        shape = Shape(entering.channels, entering.height * stride, entering.width * stride)
        return BuiltLayer(Upsample(stride, scale), shape, (context.previous,))
    shape = Shape(entering.channels, entering.height // -stride, entering.width // -stride)
    return BuiltLayer(SumDownsample(-stride, scale), checked(options, shape, entering), (context.previous,))


def build_reorg(options: Options, context: Context) -> BuiltLayer:
    """Build [reorg], the order of YOLOv2."""
    stride = options.integer("stride", 1, minimum=1)
    entering = _divisible(options, context.input_shape(options), stride, by_channels=True)
    if options.flag("reverse"):
        shape = Shape(entering.channels // stride**2, entering.height * stride, entering.width * stride)
        return BuiltLayer(DepthToSpace(stride), shape, (context.previous,))
    return BuiltLayer(PassthroughReorder(stride), _gathered(entering, stride), (context.previous,))


def build_reorg3d(options: Options, context: Context) -> BuiltLayer:
    """Build [reorg3d], a space-to-depth."""
    stride = options.integer("stride", 1, minimum=1)
    entering = _divisible(options, context.input_shape(options), stride, by_channels=False)
    return BuiltLayer(SpaceToDepth(stride), _gathered(entering, stride), (context.previous,))


def _gathered(entering: Shape, stride: int) -> Shape:
    return Shape(entering.channels * stride**2, entering.height // stride, entering.width // stride)


def _divisible(options: Options, entering: Shape, stride: int, *, by_channels: bool) -> Shape:
    by_sides = not options.flag("reverse")
    wrong_sides = by_sides and (entering.height % stride or entering.width % stride)
    if wrong_sides or (by_channels and entering.channels % stride**2):
        options.fail("stride", f"{entering} cannot be divided by {stride}; choose another network width and height")
    return entering


def build_crop(options: Options, context: Context) -> BuiltLayer:
    """Build [crop] as it acts outside training: the center, mapped to -1..1 unless noadjust=1."""
    entering = context.input_shape(options)
    height = options.integer("crop_height", 1, minimum=1)
    width = options.integer("crop_width", 1, minimum=1)
    if height > entering.height or width > entering.width:
        options.fail("crop_height", f"cannot cut {width}x{height} out of {entering}")
    module = CenterCrop(height, width, adjust=not options.flag("noadjust"))
    return BuiltLayer(module, Shape(entering.channels, height, width), (context.previous,))
