"""Raw heads, labels and requests of ``POST /v1/losses``, shared by its tests."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import numpy as np
import torch
from torch import Tensor

from tests.app.client import Client
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import LossReport, compute_loss

NAMES = ("cat", "dog", "bird")
ANCHORS = [[8, 8], [20, 12], [32, 40], [50, 60]]
YOLO = [
    {"kind": "yolo", "grid_width": 8, "grid_height": 6, "anchor_indices": [0, 1], "scale_xy": 1.1},
    {"kind": "yolo", "grid_width": 4, "grid_height": 3, "anchor_indices": [2, 3]},
]
REGION = [
    {"kind": "region", "grid_width": 4, "grid_height": 3, "anchor_indices": [0, 1, 2, 3], "class_activation": "softmax"}
]
FLAT = [{"kind": "detection", "grid_width": 4, "grid_height": 3, "boxes_per_cell": 2, "class_activation": "softmax"}]
ONE_BOX = [{**FLAT[0], "boxes_per_cell": 1}]
LABELS: list[list[dict[str, Any]]] = [
    [
        {"class_name": "dog", "box": {"cx": 0.4, "cy": 0.55, "w": 0.3, "h": 0.5}},
        {"class_id": 0, "box": {"cx": 0.9, "cy": 0.1, "w": 0.12, "h": 0.15}},
    ],
    [],
    [{"class_id": 2, "box": {"cx": 0.5, "cy": 0.5, "w": 0.9, "h": 0.7}}],
]


def heads_of(preset: str) -> list[dict[str, Any]]:
    if preset.startswith("article"):
        return ONE_BOX
    if preset.startswith("v1"):
        return FLAT
    return REGION if preset.startswith("v2") else YOLO


def make_spec(heads: list[dict[str, Any]]) -> dict[str, Any]:
    anchors = [] if heads[0]["kind"] == "detection" else ANCHORS
    return {
        "class_names": list(NAMES),
        "input_width": 64,
        "input_height": 48,
        "anchors_px": anchors,
        "heads": heads,
    }


def full_spec(spec: dict[str, Any]) -> DetectorSpec:
    return DetectorSpec.model_validate({"name": "heads", "family": "v4", "loss": {"preset": "v4"}, **spec})


def random_heads(spec: dict[str, Any], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    described = full_spec(spec)
    shapes = [described.head_shape(index, len(LABELS)) for index in range(len(described.heads))]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def trained(spec: dict[str, Any], heads: list[Tensor], preset: str, **options: Any) -> LossReport:
    """The same loss as training computes it."""
    rows = [(image, entry) for image, entries in enumerate(LABELS) for entry in entries]
    truth = GroundTruth(
        torch.tensor([[entry["box"][key] for key in ("cx", "cy", "w", "h")] for _, entry in rows]),
        torch.tensor([1, 0, 2]),
        torch.tensor([image for image, _ in rows]),
        len(LABELS),
    )
    return compute_loss(heads, truth, full_spec(spec), preset, "cells", **options)


def body(preset: str, **changes: Any) -> dict[str, Any]:
    spec = make_spec(heads_of(preset))
    heads = [head.tolist() for head in random_heads(spec)]
    return {"spec": spec, "heads": heads, "labels": LABELS, "preset": preset, **changes}


def npz(arrays: dict[str, Any], *, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def post_npz(client: Client, heads: bytes, request: dict[str, Any]) -> httpx.Response:
    files = {"heads": ("heads.npz", heads), "request": ("request.json", json.dumps(request))}
    return client.post("/v1/losses", files=files)
