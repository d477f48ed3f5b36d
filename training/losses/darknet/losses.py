"""The engine of the darknet presets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.assignment.geometry import HeadGeometry
from yoloscope.training.losses.costs import HeadLedger
from yoloscope.training.losses.darknet.deltas import DarknetState, HeadDelta, delta_ledger, pull
from yoloscope.training.losses.darknet.detection import detection_delta
from yoloscope.training.losses.darknet.presets import DarknetPreset, DetectionRules, RegionRules, YoloRules
from yoloscope.training.losses.darknet.region import region_delta
from yoloscope.training.losses.darknet.yolo import yolo_delta


def darknet_ledgers(
    heads: Sequence[Tensor],
    geometries: Sequence[HeadGeometry],
    truth: GroundTruth,
    spec: DetectorSpec,
    preset: DarknetPreset,
    images_seen: int | None,
) -> tuple[tuple[HeadLedger, ...], Tensor, DarknetState]:
    """Return the ledgers of squared deltas, their cube [H, T, B] on the graph, and darknet's own variables."""
    with torch.no_grad():
        results = [
            _delta(head.detach(), geometry, truth, spec, preset.at_head(geometry.index, len(heads)), images_seen)
            for head, geometry in zip(heads, geometries, strict=True)
        ]
        ledgers = tuple(delta_ledger(result, g) for result, g in zip(results, geometries, strict=True))
        values = torch.stack([ledger.by_image() for ledger in ledgers])
        corner = torch.zeros_like(values)
        corner[:, 0, 0] = 1
    pulls = torch.stack([pull(h, result.state.delta) for h, result in zip(heads, results, strict=True)])
    cube = values + corner * pulls.to(values)[:, None, None]
    return ledgers, cube, DarknetState(tuple(result.state for result in results))


def _delta(
    head: Tensor,
    geometry: HeadGeometry,
    truth: GroundTruth,
    spec: DetectorSpec,
    rules: DarknetPreset,
    images_seen: int | None,
) -> HeadDelta:
    if isinstance(rules, YoloRules):
        return yolo_delta(head, geometry, truth, spec.anchors_px, rules)
    if isinstance(rules, RegionRules):
        return region_delta(head, geometry, truth, rules, images_seen)
    if isinstance(rules, DetectionRules):
        return detection_delta(head, geometry, truth, rules)
    raise TypeError(f"expected the rules of a darknet layer, got {type(rules).__name__}")
