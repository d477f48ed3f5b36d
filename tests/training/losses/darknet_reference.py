"""Darknet's [yolo] and [region] deltas once more: object by object in plain loops, after the oracles' README.

Only the box directions are shared with the library: they are compared with darknet's own pairs elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.training.losses.reference import Box, Object, iou, shape_iou, sigmoid, softmax
from yoloscope.training.losses.darknet import boxes as darknet_box

Array = NDArray[np.float64]
Anchor = tuple[float, float]


@dataclass
class Layer:
    """One layer of one image: raw entries [A, 5+C, h, w], all anchors as fractions, and its options."""

    raw: Array
    objects: list[Object]
    anchors: list[Anchor]
    mask: tuple[int, ...]
    options: dict[str, Any]
    scale: float = 1.0
    new_coords: bool = False
    delta: Array = field(init=False)
    total: int = 0
    rewritten: int = 0

    def __post_init__(self) -> None:
        self.delta = np.zeros_like(self.raw)


def focal_g(p: float) -> float:
    return 0.5 * -(1 - p) * (2 * p * math.log(p) + p - 1)


def yolo(layer: Layer) -> Layer:
    """Walk over all predictors, then over all objects, as process_batch does."""
    out = layer.raw.copy()
    if not layer.new_coords:
        out[:, :2], out[:, 4:] = sigmoid(out[:, :2]), sigmoid(out[:, 4:])
    out[:, :2] = out[:, :2] * layer.scale - 0.5 * (layer.scale - 1)
    opt, places = layer.options, list(np.ndindex(out.shape[0], *out.shape[2:]))
    for a, row, column in places:
        _yolo_background(layer, out, a, row, column)
    for kind, box in layer.objects:
        column, row = int(box[0] * out.shape[3]), int(box[1] * out.shape[2])
        for a in _yolo_wanted(layer, box):
            _yolo_box(layer, out, a, row, column, box)
            full = opt["obj_normalizer"] * (1 - out[a, 4, row, column])
            if not opt["objectness_smooth"] or layer.delta[a, 4, row, column] == 0:
                layer.delta[a, 4, row, column] = full
            _yolo_class(layer, out, a, row, column, kind)
    for a, row, column in places if opt["iou_thresh"] < 1 else []:
        positive = int((layer.delta[a, 5:, row, column] > 0).sum())
        if layer.delta[a, 4, row, column] != 0 and positive:
            layer.delta[a, :4, row, column] /= positive
    return layer


def _yolo_wanted(layer: Layer, box: Box) -> list[int]:
    """Positions of the anchors of this layer that serve an object: the best of all, then those above iou_thresh."""
    overlaps = [shape_iou(anchor, (box[2], box[3])) for anchor in layer.anchors]
    best, threshold = int(np.argmax(overlaps)), layer.options["iou_thresh"]
    others = [n for n in range(len(overlaps)) if n != best and threshold < 1 and overlaps[n] > threshold]
    return [layer.mask.index(n) for n in (best, *others) if n in layer.mask]


def _yolo_predicted(layer: Layer, out: Array, a: int, row: int, column: int) -> Box:
    height, width = out.shape[2:]
    x, y, w, h = (float(value) for value in out[a, :4, row, column])
    anchor = layer.anchors[layer.mask[a]]
    if layer.new_coords:
        return (column + x) / width, (row + y) / height, 4 * w * w * anchor[0], 4 * h * h * anchor[1]
    return (column + x) / width, (row + y) / height, math.exp(w) * anchor[0], math.exp(h) * anchor[1]


def _yolo_background(layer: Layer, out: Array, a: int, row: int, column: int) -> None:
    opt, objectness = layer.options, out[a, 4, row, column]
    predicted = _yolo_predicted(layer, out, a, row, column)
    best, which = 0.0, -1
    for index, (_, box) in enumerate(layer.objects):
        overlap = iou(predicted, box)
        if overlap > best:
            best, which = overlap, index
    delta = opt["obj_normalizer"] * (0 - objectness)
    if out[a, 5:, row, column].max() > 0.25 and best > opt["ignore_thresh"]:
        delta = max(delta, opt["obj_normalizer"] * (best - objectness)) if opt["objectness_smooth"] else 0.0
    layer.delta[a, 4, row, column] = delta
    if best > opt["truth_thresh"]:
        kind, box = layer.objects[which]
        aim = best**2 if opt["objectness_smooth"] else 1.0
        layer.delta[a, 4, row, column] = opt["obj_normalizer"] * (aim - objectness)
        _yolo_class(layer, out, a, row, column, kind)
        if opt["objectness_smooth"]:
            layer.delta[a, 5 + kind, row, column] = aim - out[a, 5 + kind, row, column]
        _yolo_box(layer, out, a, row, column, box)


def _yolo_class(layer: Layer, out: Array, a: int, row: int, column: int, kind: int) -> None:
    eps = layer.options["label_smooth_eps"]
    probabilities, delta = out[a, 5:, row, column], layer.delta[a, 5:, row, column]
    if delta[kind]:
        delta[kind] = 1 - eps + 0.5 * eps - probabilities[kind]
        return
    for n, p in enumerate(probabilities):
        if layer.options["focal_loss"]:
            delta[n] = ((n == kind) - p) * focal_g(float(probabilities[kind]))
        else:
            delta[n] = (n == kind) * (1 - eps) + 0.5 * eps - p


def _yolo_box(layer: Layer, out: Array, a: int, row: int, column: int, box: Box) -> None:
    opt, height, width = layer.options, *out.shape[2:]
    layer.total += 1
    layer.rewritten += int(layer.delta[a, :4, row, column].any())
    anchor, entries = layer.anchors[layer.mask[a]], out[a, :4, row, column]
    if opt["iou_loss"] == "mse":
        wh = [box[2] / anchor[0], box[3] / anchor[1]]
        wanted = [math.sqrt(v / 4) if layer.new_coords else math.log(v) for v in wh]
        target = np.array([box[0] * width - column, box[1] * height - row, *wanted])
        layer.delta[a, :4, row, column] += (2 - box[2] * box[3]) * opt["iou_normalizer"] * (target - entries)
        return
    predicted = _yolo_predicted(layer, out, a, row, column)
    pair = torch.tensor([predicted], dtype=torch.float64), torch.tensor([box], dtype=torch.float64)
    step = darknet_box.iou_gradient(*pair, opt["iou_loss"])[0].numpy()
    if not layer.new_coords:
        step[2:] *= np.exp(entries[2:])
    step *= opt["iou_normalizer"]
    if opt["max_delta"] is not None:
        step = np.clip(step, -opt["max_delta"], opt["max_delta"])
    layer.delta[a, :4, row, column] += step


def region(layer: Layer, seen: int) -> Layer:
    """Walk over all predictors, then over all objects, as forward_region_layer does."""
    opt = layer.options
    anchors, _, height, width = layer.raw.shape
    for a in range(anchors):
        for row in range(height):
            for column in range(width):
                _region_background(layer, a, row, column, seen)
    for kind, box in layer.objects:
        column, row = int(box[0] * width), int(box[1] * height)
        shapes = [
            layer.anchors[a] if opt["bias_match"] else _region_predicted(layer, a, row, column)[2:]
            for a in range(anchors)
        ]
        a = int(np.argmax([shape_iou(shape, (box[2], box[3])) for shape in shapes]))
        _region_box(layer, a, row, column, box, opt["coord_scale"])
        objectness = sigmoid(layer.raw[a, 4, row, column])
        aim = iou(_region_predicted(layer, a, row, column), box) if opt["rescore"] else 1.0
        slope = objectness * (1 - objectness)
        layer.delta[a, 4, row, column] = opt["object_scale"] * (aim - objectness) * slope
        _region_class(layer, a, row, column, kind, opt["class_scale"])
    return layer


def _region_predicted(layer: Layer, a: int, row: int, column: int) -> Box:
    height, width = layer.raw.shape[2:]
    x, y, w, h = (float(value) for value in layer.raw[a, :4, row, column])
    anchor = layer.anchors[a]
    return (
        (column + float(sigmoid(x))) / width,
        (row + float(sigmoid(y))) / height,
        math.exp(w) * anchor[0],
        math.exp(h) * anchor[1],
    )


def _region_background(layer: Layer, a: int, row: int, column: int, seen: int) -> None:
    opt, objectness = layer.options, sigmoid(layer.raw[a, 4, row, column])
    predicted = _region_predicted(layer, a, row, column)
    best, which = 0.0, -1
    for index, (_, box) in enumerate(layer.objects):
        if iou(predicted, box) > best:
            best, which = iou(predicted, box), index
    slope = objectness * (1 - objectness)
    aim = best if opt["classfix"] == -1 else 0.0
    layer.delta[a, 4, row, column] = opt["noobject_scale"] * (aim - objectness) * slope
    if opt["classfix"] != -1 and best > opt["thresh"]:
        layer.delta[a, 4, row, column] = 0
        if opt["classfix"] > 0:
            scale = opt["class_scale"] * (objectness if opt["classfix"] == 2 else 1)
            _region_class(layer, a, row, column, layer.objects[which][0], scale)
    if seen < 12800:
        height, width = layer.raw.shape[2:]
        _region_box(layer, a, row, column, ((column + 0.5) / width, (row + 0.5) / height, *layer.anchors[a]), 0.01)


def _region_box(layer: Layer, a: int, row: int, column: int, box: Box, scale: float) -> None:
    height, width = layer.raw.shape[2:]
    x, y = sigmoid(layer.raw[a, 0, row, column]), sigmoid(layer.raw[a, 1, row, column])
    delta = layer.delta[a, :, row, column]
    delta[0] = scale * (box[0] * width - column - x) * x * (1 - x)
    delta[1] = scale * (box[1] * height - row - y) * y * (1 - y)
    delta[2] = scale * (math.log(box[2] / layer.anchors[a][0]) - layer.raw[a, 2, row, column])
    delta[3] = scale * (math.log(box[3] / layer.anchors[a][1]) - layer.raw[a, 3, row, column])


def _region_class(layer: Layer, a: int, row: int, column: int, kind: int, scale: float) -> None:
    raw = layer.raw[a, 5:, row, column]
    probabilities = softmax(raw) if layer.options["softmax"] else raw
    factor = focal_g(float(probabilities[kind])) if layer.options["focal_loss"] else 1.0
    for n, p in enumerate(probabilities):
        layer.delta[a, 5 + n, row, column] = scale * ((n == kind) - p) * factor
