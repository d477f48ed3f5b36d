"""Builders of the remaining sections: connected, batchnorm, activation, dropout, implicit, and those that only pass."""

from __future__ import annotations

from torch import nn

from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, Shape
from yoloscope.models.darknet.options import Options
from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.batchnorm import BatchNorm
from yoloscope.models.layers.connected import Connected
from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.models.layers.implicit import Implicit


def build_connected(options: Options, context: Context) -> BuiltLayer:
    """Build [connected]."""
    outputs = options.integer("output", 1, minimum=1)
    module = Connected(
        context.input_shape(options).numel,
        outputs,
        batch_norm=options.flag("batch_normalize"),
        activation=options.activation("logistic"),
    )
    return BuiltLayer(module, Shape(outputs, 1, 1), (context.previous,))


def build_batchnorm(options: Options, context: Context) -> BuiltLayer:
    """Build [batchnorm]."""
    shape = context.input_shape(options)
    return BuiltLayer(BatchNorm(shape.channels), shape, (context.previous,))


def build_activation(options: Options, context: Context) -> BuiltLayer:
    """Build [activation]."""
    return BuiltLayer(Activation(options.activation("linear")), context.input_shape(options), (context.previous,))


def build_dropout(options: Options, context: Context) -> BuiltLayer:
    """Build [dropout], of single values or of blocks; identity outside training."""
    probability = options.number("probability", 0.2)
    if not 0 <= probability < 1:
        options.fail("probability", f"expected a number from 0 to below 1, got {probability:g}")
    relative = options.number("dropblock_size_rel", 0.0)
    side = options.integer("dropblock_size_abs", 0, minimum=0) or 7
    by_block = options.flag("dropblock")
    module = DropBlock(probability, side, relative or None) if by_block else nn.Dropout(probability)
    return BuiltLayer(module, context.input_shape(options), (context.previous,))


def build_implicit(options: Options, context: Context) -> BuiltLayer:
    """Build [implicit]: a learned constant map."""
    filters, atoms = options.integer("filters", 128, minimum=1), options.integer("atoms", 1, minimum=1)
    module = Implicit(filters, atoms, mean=options.number("mean", 0.0), std=options.number("std", 0.2))
    return BuiltLayer(module, Shape(filters, atoms, 1), (context.previous,))


def build_empty(options: Options, context: Context) -> BuiltLayer:
    """Build [empty] and [silence]: the output of the layer before."""
    return BuiltLayer(nn.Identity(), context.input_shape(options), (context.previous,))


def build_training_only(options: Options, context: Context) -> BuiltLayer:
    """Build [cost] and [contrastive]: losses of training, without an output."""
    context.notices.append(f"{options.where} only acts in training and is left out")
    return BuiltLayer(nn.Identity(), None, ())
