"""How a golden case of each darknet layer becomes a call of ``compute_loss``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yoloscope.models.darknet.keys import LOSS_KEYS
from yoloscope.models.errors import PresetError
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import compute_loss
from yoloscope.training.losses.darknet.deltas import DarknetHeadState

NOT_RULES = {
    *("prefix", "kinds", "image", "head", "n_truth_requested", "mode"),
    *("batch", "max_boxes", "truths", "truth_size", "inputs", "outputs"),
    *("num", "total", "coords", "absolute", "log", "jitter", "resize", "random", "nms_kind", "beta_nms"),
}
"""What a case may say that has no part in its loss: its origin, sizes that its arrays show, keys of other stages."""
YOLO_GEOMETRY = {"mask", "anchors", "classes", "net_w", "net_h", "grid_w", "grid_h", "scale_x_y", "new_coords"}
YOLO_RULES = {
    "ignore_thresh": "ignore_thresh",
    "truth_thresh": "truth_thresh",
    "iou_thresh": "iou_thresh",
    "iou_norm": "iou_normalizer",
    "obj_norm": "obj_normalizer",
    "cls_norm": "cls_normalizer",
    "max_delta": "max_delta",
    "label_smooth": "label_smooth_eps",
    "iou_loss": "iou_loss",
    "focal": "focal_loss",
    "obj_smooth": "objectness_smooth",
    "show_details": "show_details",
    "iou_thresh_kind": "iou_thresh_kind",
}
REGION_GEOMETRY = {"anchors", "classes", "grid_w", "grid_h", "seen"}
REGION_RULES = {
    **{key: key for key in ("object_scale", "noobject_scale", "class_scale", "coord_scale", "thresh", "bias_match")},
    **{key: key for key in ("softmax", "rescore", "classfix")},
    "focal": "focal_loss",
}
DETECTION_GEOMETRY = {"side", "num", "classes", "seen"}
DETECTION_RULES = {
    key: key
    for key in (
        *("object_scale", "noobject_scale", "class_scale", "coord_scale", "rescore", "softmax"),
        *("sqrt", "forced", "random"),
    )
}


@dataclass(frozen=True)
class Answer:
    """What this project makes of a case."""

    output: Tensor
    gradient: Tensor
    cost: Tensor
    exact: dict[str, Any] = field(default_factory=dict)


def yolo(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Answer:
    rules = _rules(case, "yolo", YOLO_RULES, YOLO_GEOMETRY)
    rules["max_delta"] = rules["max_delta"] or None
    net = int(case["net_w"]), int(case["net_h"])
    head = HeadSpec(
        kind="yolo",
        grid_width=case["grid_w"],
        grid_height=case["grid_h"],
        anchor_indices=tuple(case["mask"]),
        scale_xy=case.get("scale_x_y", 1.0),
        new_coords=bool(case.get("new_coords")),
        activation="none" if case.get("new_coords") else "sigmoid",
    )
    truth, tracks = _truth_list(arrays["truth"], case["classes"], skips_first=False)
    state, gradient = _run(arrays["input"], truth, _spec("v3-darknet", head, case, net, _pairs(case), rules))
    assert state.labels is not None
    assert state.class_ids is not None
    labels = np.where(state.labels.numpy() >= 0, np.append(tracks, -1)[state.labels.numpy()], -1)
    exact = {
        "total_bbox": state.total_bbox,
        "rewritten_bbox": state.rewritten_bbox,
        "labels": labels,
        "class_ids": state.class_ids.numpy(),
    }
    return Answer(state.output, gradient, state.cost, exact)


def region(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Answer:
    rules = _rules(case, "region", REGION_RULES, REGION_GEOMETRY)
    width, height = int(case["grid_w"]), int(case["grid_h"])
    anchors = tuple((w * 32, h * 32) for w, h in _pairs(case))
    head = HeadSpec(
        kind="region",
        grid_width=width,
        grid_height=height,
        anchor_indices=tuple(range(len(anchors))),
        class_activation="softmax" if case.get("softmax") else "none",
    )
    truth, _ = _truth_list(arrays["truth"], case["classes"], skips_first=True)
    spec = _spec("v2-darknet", head, case, (width * 32, height * 32), anchors, rules)
    state, gradient = _run(arrays["input"], truth, spec, images_seen=case.get("seen"))
    return Answer(state.output, gradient, state.cost)


def detection(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Answer:
    rules = _rules(case, "detection", DETECTION_RULES, DETECTION_GEOMETRY)
    side = int(case["side"])
    head = HeadSpec(
        kind="detection",
        grid_width=side,
        grid_height=side,
        boxes_per_cell=case["num"],
        sqrt_wh=bool(case.get("sqrt")),
        class_activation="softmax" if case.get("softmax") else "none",
    )
    spec = _spec("v1-darknet", head, case, (64 * side, 64 * side), (), rules)
    state, gradient = _run(arrays["input"], _truth_grid(arrays["truth"], case["classes"]), spec)
    return Answer(state.output, gradient, state.cost)


CASES: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Answer]] = {
    "yolo": yolo,
    "region": region,
    "detection": detection,
}


def _rules(case: dict[str, Any], kind: str, names: dict[str, str], geometry: set[str]) -> dict[str, Any]:
    """Return the loss keys of a case by their cfg names; absent ones stand at the defaults of darknet's parser."""
    names = {**{key: key for key in LOSS_KEYS[kind]}, **names}
    unknown = sorted(set(case) - set(names) - geometry - NOT_RULES)
    if unknown:
        raise PresetError(f"layer parameters {', '.join(unknown)} are not known")
    return {**LOSS_KEYS[kind], **{names[key]: case[key] for key in case if key in names}}


def _pairs(case: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    flat = [float(value) for value in case["anchors"]]
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _spec(
    preset: str,
    head: HeadSpec,
    case: dict[str, Any],
    net: tuple[int, int],
    anchors: tuple[tuple[float, float], ...],
    rules: dict[str, Any],
) -> DetectorSpec:
    return DetectorSpec(
        name="golden",
        family="v3",
        class_names=tuple(f"class {i}" for i in range(case["classes"])),
        input_width=net[0],
        input_height=net[1],
        anchors_px=anchors,
        heads=(head,),
        loss=LossSpec(preset=preset, overrides=rules),
    )


def _run(
    raw: np.ndarray, truth: GroundTruth, spec: DetectorSpec, images_seen: int | None = None
) -> tuple[DarknetHeadState, Tensor]:
    head = torch.from_numpy(raw.copy()).requires_grad_()
    report = compute_loss((head,), truth, spec, spec.loss.preset, images_seen=images_seen, divisor=1.0)
    (gradient,) = torch.autograd.grad(report.total, head)
    assert report.darknet is not None
    return report.darknet.heads[0], gradient


def _truth_list(truth: np.ndarray, classes: int, *, skips_first: bool) -> tuple[GroundTruth, np.ndarray]:
    """Darknet's truth list [B, K, 6] as ground truth, and the track ids; ``skips_first``: class test before x == 0."""
    kept, images = [], []
    for image, rows in enumerate(truth):
        for row in rows:
            bad_class = row[4] >= classes or (row[4] < 0 and not skips_first)
            if skips_first and bad_class:
                continue
            if row[0] == 0:
                break
            if not bad_class:
                kept.append(row)
                images.append(image)
    table = np.array(kept, dtype=np.float32).reshape(-1, 6)
    boxes = torch.from_numpy(table[:, :4].copy())
    class_ids = torch.from_numpy(table[:, 4].astype(np.int64))
    index = torch.tensor(images, dtype=torch.int64)
    return GroundTruth(boxes, class_ids, index, len(truth)), table[:, 5].astype(np.int64)


def _truth_grid(truth: np.ndarray, classes: int) -> GroundTruth:
    """Darknet's truth grid [B, S, S, 1+C+4] as ground truth, in float64 so that offsets in cells survive."""
    images, rows, columns = np.nonzero(truth[..., 0])
    own = truth[images, rows, columns].astype(np.float64)
    height, width = truth.shape[1:3]
    x, y = (own[:, 1 + classes] + columns) / width, (own[:, 2 + classes] + rows) / height
    boxes = np.stack((x, y, own[:, 3 + classes], own[:, 4 + classes]), axis=1)
    class_ids = own[:, 1 : 1 + classes].argmax(1) if len(own) else np.zeros(0)
    return GroundTruth(
        torch.from_numpy(boxes),
        torch.from_numpy(class_ids.astype(np.int64)),
        torch.from_numpy(images.astype(np.int64)),
        len(truth),
    )
