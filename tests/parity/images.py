"""What is found in images that we decode and place ourselves, beside what darknet found in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.parity.detections import IOU_THRESHOLD, DetectionParity, Found, centers, compare_image
from yoloscope.models.detector import DETECTIONS, INPUTS, detect
from yoloscope.models.preprocess import preprocess
from yoloscope.models.session import FRACTION, FRACTION_STEPS
from yoloscope.models.spec import DetectorSpec

Levels = NDArray[np.float32]
Outputs = tuple[NDArray[Any], ...]
Detect = Callable[[Levels, float, float], Outputs]

THRESHOLDS = ("0.25", "0.1")
IOU_LEEWAY = 0.01


def eager_detector(network: torch.nn.Module, spec: DetectorSpec) -> Detect:
    """Return a function from a placed image (float32 [H, W, 3] in 0..255) and both thresholds to detections."""

    def run(levels: Levels, threshold: float, iou_threshold: float) -> Outputs:
        with torch.inference_mode():
            heads = network(torch.from_numpy(levels)[None].permute(0, 3, 1, 2) / 255)
            found = detect(heads, spec, torch.tensor([threshold]), torch.tensor([iou_threshold]))
        return tuple(output.numpy() for output in found)

    return run


def artifact_detector(session: onnxruntime.InferenceSession) -> Detect:
    """Return the same of an artifact in onnxruntime, which takes levels in 256ths."""

    def run(levels: Levels, threshold: float, iou_threshold: float) -> Outputs:
        steps = np.round(levels[None] * FRACTION_STEPS).astype(np.int64)
        whole, fraction = np.divmod(steps, FRACTION_STEPS)
        thresholds = np.array([threshold], np.float32), np.array([iou_threshold], np.float32)
        feeds = dict(zip(INPUTS, (whole.astype(np.uint8), *thresholds), strict=True))
        return tuple(session.run(list(DETECTIONS), feeds | {FRACTION: fraction.astype(np.uint8)}))

    return run


def compare_images(oracles: Path, model: str, spec: DetectorSpec, detector: Detect) -> Iterator[DetectionParity]:
    """Compare every image that darknet's detections are stored for, stretched and letterboxed.

    JPEG decoders differ by a few levels. Where a suppression hinges on an overlap within .01 of the threshold, either
    way of it counts as the same.
    """
    kinds = {"diounms", "diounms_beta0.6"} if spec.nms.beta else {"nms_sort"}
    for path in sorted((oracles / "darknet_out" / model).glob("*.json")):
        name, _, mode = path.stem.partition("_")
        image = oracles / "images" / f"{name}.jpg"
        if mode not in {"", "letterbox"} or not image.is_file():
            continue
        resize = spec.resize.model_copy(update={"placement": "letterbox" if mode else "stretch"})
        placing = spec.model_copy(update={"resize": resize})
        results: dict[str, dict[str, Any]] = json.loads(path.read_text())["results"]
        input_size = min(spec.input_width, spec.input_height)
        for threshold in THRESHOLDS:
            rows = next(found for kind, found in results[threshold].items() if kind in kinds)
            runs = (
                compare_image(f"{path.stem} at {threshold}", rows, found, float(threshold), input_size)
                for found in _found_in_image(image, placing, float(threshold), detector)
            )
            first = next(runs)
            yield first if first.passed else next((run for run in runs if run.passed), first)


def _found_in_image(image: Path, spec: DetectorSpec, threshold: float, detector: Detect) -> Iterator[Found]:
    """Yield what is found at the IoU threshold, a little below and a little above."""
    with Image.open(image) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    levels, placement = preprocess(pixels, spec)
    for leeway in (0, -IOU_LEEWAY, IOU_LEEWAY):
        counts, boxes, scores, class_ids = detector(levels, threshold, IOU_THRESHOLD + leeway)
        rows = slice(0, int(counts[0]))
        fractions = placement.invert(boxes[0, rows]) / ((pixels.shape[1], pixels.shape[0]) * 2)
        yield Found(class_ids[0, rows], scores[0, rows].astype(np.float64), centers(fractions))
