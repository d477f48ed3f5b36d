"""Builders of the detection heads: yolo, Gaussian_yolo, region, detection.

A head computes nothing here: the network returns what enters it, and its section becomes part of the DetectorSpec.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from yoloscope.models.darknet.keys import loss_options
from yoloscope.models.darknet.layer_plan import BuiltLayer, Context, HeadPlan
from yoloscope.models.darknet.options import Options

Pairs = tuple[tuple[float, float], ...]

_NMS_KINDS = {"default", "greedynms", "diounms"}


def build_yolo(options: Options, context: Context) -> BuiltLayer:
    """Build [yolo]."""
    anchors, mask = _anchors_and_mask(options, context)
    new_coords = options.flag("new_coords")
    plan = HeadPlan(
        kind="yolo",
        line=options.line,
        shape=context.input_shape(options),
        num_classes=options.integer("classes", 20, minimum=1),
        loss=loss_options(options, "yolo"),
        anchors=anchors,
        mask=mask,
        scale_xy=options.number("scale_x_y", 1.0, above=0),
        new_coords=new_coords,
        needs_sigmoid=not new_coords or context.previous in context.feeds_new_coords,
        nms_kind=_nms_kind(options, context),
        beta_nms=options.number("beta_nms", 0.6, above=0),
    )
    return _anchored(options, context, plan, entries=5)


def build_gaussian_yolo(options: Options, context: Context) -> BuiltLayer:
    """Build [Gaussian_yolo]."""
    anchors, mask = _anchors_and_mask(options, context)
    point = options.text("yolo_point", "center")
    if point != "center":
        options.refuse("yolo_point", f"boxes are decoded from their center only, got {point!r}")
    plan = HeadPlan(
        kind="gaussian_yolo",
        line=options.line,
        shape=context.input_shape(options),
        num_classes=options.integer("classes", 20, minimum=1),
        loss={},
        anchors=anchors,
        mask=mask,
        scale_xy=options.number("scale_x_y", 1.0, above=0),
        nms_kind=_nms_kind(options, context),
        beta_nms=options.number("beta_nms", 0.6, above=0),
    )
    context.notices.append(f"{options.where}: no loss preset covers Gaussian heads; labels cannot be scored with it")
    return _anchored(options, context, plan, entries=9)


def build_region(options: Options, context: Context) -> BuiltLayer:
    """Build [region], the head of YOLOv2 and YOLO9000."""
    if options.integer("coords", 4) != 4:
        options.refuse("coords", "boxes have 4 coordinates")
    count = options.integer("num", 1, minimum=1)
    given = _pairs(options)
    _check_anchors(options, context, given, count, tuple(range(count)))
    tree = options.text("tree", "") or None
    plan = HeadPlan(
        kind="region",
        line=options.line,
        shape=context.input_shape(options),
        num_classes=options.integer("classes", 20, minimum=1),
        loss=loss_options(options, "region"),
        anchors=_filled(given[:count], count),
        mask=tuple(range(count)),
        class_activation="tree" if tree else "softmax" if options.flag("softmax") else "none",
        tree_file=tree,
        map_file=options.text("map", "") or None,
    )
    return _anchored(options, context, plan, entries=5)


def build_detection(options: Options, context: Context) -> BuiltLayer:
    """Build [detection], the flat head of YOLOv1."""
    if options.integer("coords", 4) != 4:
        options.refuse("coords", "boxes have 4 coordinates")
    shape = context.input_shape(options)
    side, boxes = options.integer("side", 7, minimum=1), options.integer("num", 1, minimum=1)
    classes = options.integer("classes", 1, minimum=1)
    expected = side * side * (5 * boxes + classes)
    if shape.numel != expected:
        options.fail("side", f"side*side*(num*5 + classes) = {expected} values expected, got {shape.numel}")
    plan = HeadPlan(
        kind="detection",
        line=options.line,
        shape=shape,
        num_classes=classes,
        loss=loss_options(options, "detection"),
        boxes_per_cell=boxes,
        side=side,
        sqrt_wh=options.flag("sqrt"),
        needs_sigmoid=False,
        class_activation="softmax" if options.flag("softmax") else "none",
    )
    return BuiltLayer(nn.Flatten(), None, (context.previous,), plan)


def _anchored(options: Options, context: Context, plan: HeadPlan, entries: int) -> BuiltLayer:
    expected = len(plan.mask) * (entries + plan.num_classes)
    if plan.shape.channels != expected:
        options.fail(
            "classes",
            f"{len(plan.mask)} anchors x ({entries} + {plan.num_classes} classes) = {expected} channels expected, "
            f"got {plan.shape.channels}: set filters={expected} in the layer before, or correct classes, mask or num",
        )
    return BuiltLayer(nn.Identity(), None, (context.previous,), plan)


def _pairs(options: Options) -> Pairs:
    numbers = options.numbers("anchors")
    if min(numbers, default=1) <= 0:
        options.fail("anchors", f"expected widths and heights above 0, got {min(numbers):g}")
    return tuple(zip(numbers[::2], numbers[1::2], strict=False))


def _anchors_and_mask(options: Options, context: Context) -> tuple[Pairs, tuple[int, ...]]:
    """Return the anchors and the mask; anchors that only darknet's stray memory could supply stay unknown."""
    count = options.integer("num", 1, minimum=1)
    pairs = _pairs(options)
    mask = options.integers("mask") or tuple(range(count))
    if min(mask) < 0:
        options.fail("mask", f"expected indices from 0, got {min(mask)}")
    highest = max(mask)
    _check_anchors(options, context, pairs, count, mask)
    if highest < count:
        return _filled(pairs[:count], count), mask
    context.notices.append(
        f"{options.where} mask names anchor {highest} although num={count}: darknet reads past its anchors there"
    )
    return _filled(pairs[: highest + 1], highest + 1), mask


def _check_anchors(options: Options, context: Context, pairs: Pairs, count: int, mask: Sequence[int]) -> None:
    """Note anchors that nothing uses; where the mask uses one that is not given, note that decoding is not possible."""
    known, highest = len(options.numbers("anchors")), max(mask)
    needed = max(count, highest + 1)
    if highest >= len(pairs):
        context.missing.append(
            f"{options.where} anchors: {known} numbers leave anchor {highest} of the mask undefined "
            f"(darknet would take half a pixel or cell); give {2 * needed} numbers and num={needed}"
        )
    elif known % 2 or known > 2 * needed:
        context.notices.append(
            f"{options.where} anchors: {known} numbers where num={count} needs {2 * count}; the rest is not used"
        )


def _filled(pairs: Sequence[tuple[float, float]], count: int) -> Pairs:
    """Return the pairs with darknet's default of 0.5 where the list is short (src/yolo_layer.c)."""
    return tuple(pairs) + ((0.5, 0.5),) * (count - len(pairs))


def _nms_kind(options: Options, context: Context) -> str:
    kind = options.text("nms_kind", "default")
    if kind not in _NMS_KINDS:
        context.notices.append(f"{options.where} nms_kind={kind} is unknown to darknet, which falls back to IoU-NMS")
        return "default"
    return kind
