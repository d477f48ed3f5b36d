"""Figures of targets of the loss (anchors, label smoothing, grid sensitivity) and of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from PIL import Image, ImageDraw

from yoloscope.models.classes import class_color
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.assign import match_best_anchor
from yoloscope.training.assignment.grid import head_geometries
from yoloscope.training.build import build_schedule
from yoloscope.training.losses import get_preset
from yoloscope.training.losses.presets.formula import FormulaPreset
from yoloscope.training.visualize.drawing import Figure, Panel, Scene, chart, image_of

_USUAL = FormulaPreset()


def target_figures(scene: Scene) -> Iterator[Figure]:
    """Yield the figures of anchors per object, label smoothing, grid sensitivity and the schedule."""
    if scene.network.spec.anchors_px:
        yield _multi_anchor(scene)
    yield _label_smoothing(scene)
    yield _grid_sensitivity(scene)
    yield _schedule(scene)


def _multi_anchor(scene: Scene) -> Figure:
    """Draw the anchors assigned to each object, at the cells that hold its center."""
    preset = get_preset(None, scene.network.spec)
    threshold = preset.extra_anchor_iou or _USUAL.match_threshold
    images, truth = scene.batch()
    rows = []
    for index, image in enumerate(images):
        panels = []
        for words, reach in (("without: the best anchor", None), ("with multi_anchor", threshold)):
            canvas, number = _with_anchors(scene, image_of(image), truth, index, reach)
            panels.append(Panel(canvas, f"{words}, {number} boxes"))
        rows.append(panels)
    sentence = f"Besides the best one, every anchor with IoU above {threshold:g} is responsible (thin: the anchors)."
    return Figure("multi_anchor", sentence, rows)


def _with_anchors(
    scene: Scene, canvas: Image.Image, truth: GroundTruth, image: int, threshold: float | None
) -> tuple[Image.Image, int]:
    """Return the canvas with objects (thick) and anchors (thin), and the number of anchors."""
    spec = scene.network.spec
    heads = [torch.zeros(spec.head_shape(index, truth.batch_size)) for index in range(len(spec.heads))]
    matches = match_best_anchor(truth, head_geometries(heads, spec), torch.tensor(spec.anchors_px), threshold)
    draw, number = ImageDraw.Draw(canvas), 0
    size = torch.tensor([canvas.width, canvas.height])
    for object_, box in enumerate(truth.boxes_cxcywh_norm):
        if truth.image_index[object_] == image:
            _frame(draw, box[:2] * size, box[2:] * size, class_color(int(truth.class_ids[object_])), 3)
    for match in matches:
        grid = torch.tensor([match.geometry.grid_width, match.geometry.grid_height])
        for row in (match.images == image).nonzero()[:, 0].tolist():
            cell = torch.stack((match.columns[row], match.rows[row]))
            anchor = torch.tensor(match.geometry.anchors_norm[int(match.anchors[row])])
            color = class_color(int(truth.class_ids[int(match.objects[row])]))
            _frame(draw, (cell + 0.5) / grid * size, anchor * size, color, 1)
            number += 1
    return canvas, number


def _frame(
    draw: ImageDraw.ImageDraw, center: torch.Tensor, extent: torch.Tensor, color: tuple[int, int, int], width: int
) -> None:
    low, high = (center - extent / 2).tolist(), (center + extent / 2).tolist()
    draw.rectangle((*low, max(low[0] + 1, high[0] - 1), max(low[1] + 1, high[1] - 1)), outline=color, width=width)


def _label_smoothing(scene: Scene) -> Figure:
    """Show the cost of the class logit of an object, which is least at the target's."""
    share = scene.config.freebies.label_smoothing or 0.1
    logits = [step / 10 for step in range(-60, 81)]
    lines = {
        f"{words}: target {target:g}": [(logit, _bce(logit, target)) for logit in logits]
        for words, target in (("without", 1.0), (f"with label_smoothing {share:g}", 1 - share / 2))
    }
    goals = f"{1 - share / 2:g} and the others at {share / 2:g}"
    sentence = f"An object's own class aims at {goals}: no logit need grow forever."
    panel = Panel(chart(lines, "logit of the object's class"), "cost of the class")
    return Figure("label_smoothing", sentence, [[panel]])


def _bce(logit: float, target: float) -> float:
    """Return the binary cross-entropy of a logit."""
    return max(logit, 0) - logit * target + math.log1p(math.exp(-abs(logit)))


def _grid_sensitivity(scene: Scene) -> Figure:
    """Show the center within its cell as a function of what the network puts out."""
    scales = sorted({head.scale_xy for head in scene.network.spec.heads} - {1.0}) or [1.05, 1.2]
    logits = [step / 10 for step in range(-60, 61)]
    lines = {
        "without: scale_xy 1" if scale == 1 else f"with grid_sensitivity: scale_xy {scale:g}": [
            (logit, scale / (1 + math.exp(-logit)) - (scale - 1) / 2) for logit in logits
        ]
        for scale in (1.0, *scales)
    }
    sentence = "A center on the border of its cell (0 or 1) is reached by a finite logit."
    panel = Panel(chart(lines, "logit"), "center in its cell, 0 to 1")
    return Figure("grid_sensitivity", sentence, [[panel]])


def _schedule(scene: Scene) -> Figure:
    """Show the learning rate over the run, as configured, with restarts, and in steps."""
    config, per_epoch = scene.config, 20
    total = per_epoch * config.epochs
    cycle = max(1.0, config.epochs / 7)
    kinds: Sequence[tuple[str, dict[str, object]]] = (
        (f"as configured: {config.schedule.kind}", {}),
        ("cosine with restarts", {"kind": "cosine", "cycle_epochs": cycle, "multiplier": 2}),
        ("steps", {"kind": "steps"}),
    )
    lines = {}
    for words, changes in kinds:
        schedule = type(config.schedule).model_validate(config.schedule.model_dump() | changes)
        rate = build_schedule(schedule, config.optimizer.lr, per_epoch, total)
        lines[words] = [(step / per_epoch, rate(step)) for step in range(0, total, max(1, total // 400))]
    sentence = "The learning rate over the run."
    return Figure("schedule", sentence, [[Panel(chart(lines, "epoch"), "learning rate")]])
