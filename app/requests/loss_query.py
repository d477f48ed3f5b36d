"""A request for a loss as the inputs of one: its preset with the keys that differ, and its labels as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from numpy.typing import NDArray

from yoloscope.app.schemas.losses import LARGEST_NUMBER, LossesRequest, LossObject
from yoloscope.app.services.losses import LossQuery
from yoloscope.models.errors import RequestError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses.compute import get_preset

_SHOWN: Final = 100


def loss_query(request: LossesRequest, read_heads: Callable[[], Sequence[NDArray[Any]]]) -> LossQuery:
    """Return the inputs of a loss; raises RequestError or PresetError for what does not fit the spec."""
    _check_numbers(request.options, "/options")
    _check_numbers(request.spec.loss.overrides, "/spec/loss/overrides")
    preset = get_preset(request.preset, request.spec)
    if request.options:
        preset = preset.with_overrides(request.options)
        preset.require_fit(request.spec)
    truth = _ground_truth(request.labels, request.spec)
    return LossQuery(read_heads, truth, request.spec, preset, request.detail, request.images_seen, request.divisor)


def _check_numbers(value: object, pointer: str) -> None:
    """Raise RequestError for a number so large that it has no float32 or leaves none for the loss."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_numbers(inner, f"{pointer}/{key}"[:_SHOWN])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_numbers(inner, f"{pointer}/{index}")
    elif isinstance(value, int | float) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise RequestError(f"expected numbers of at most {LARGEST_NUMBER:g}, got a larger one", pointer)


def _ground_truth(labels: Sequence[Sequence[LossObject]], spec: DetectorSpec) -> GroundTruth:
    objects = [(image, entry) for image, entries in enumerate(labels) for entry in entries]
    ids = {name: index for index, name in reversed(list(enumerate(spec.class_names)))}
    class_ids = [
        _class_id(entry, ids, spec, f"/labels/{image}/{index}")
        for image, entries in enumerate(labels)
        for index, entry in enumerate(entries)
    ]
    boxes = [(entry.box.cx, entry.box.cy, entry.box.w, entry.box.h) for _, entry in objects]
    weights = [1.0 if entry.weight is None else entry.weight for _, entry in objects]
    weighted = any(entry.weight is not None for _, entry in objects)
    return GroundTruth(
        boxes_cxcywh_norm=torch.tensor(boxes).reshape(-1, 4),
        class_ids=torch.tensor(class_ids, dtype=torch.int64),
        image_index=torch.tensor([image for image, _ in objects], dtype=torch.int64),
        batch_size=len(labels),
        weights=torch.tensor(weights) if weighted else None,
    )


def _class_id(entry: LossObject, ids: dict[str, int], spec: DetectorSpec, pointer: str) -> int:
    found = entry.class_id if entry.class_name is None else ids.get(entry.class_name)
    if found is None or not 0 <= found < spec.num_classes:
        key, got = ("class_id", entry.class_id) if entry.class_name is None else ("class_name", entry.class_name)
        raise RequestError(
            f"expected one of the {spec.num_classes} classes of the spec, got {got!r}", f"{pointer}/{key}"
        )
    return found
