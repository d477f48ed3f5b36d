"""Detection in one image without a server: what every peer calls, so that all give the same answers.

The model is ``DETECTOR_MODEL``, its threads are ``DETECTOR_THREADS``, for processes inherit an environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from yoloscope.app.services.inference import DetectSettings, infer, postprocess, prepare
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.images import ImageLimits

MODEL, THREADS = "DETECTOR_MODEL", "DETECTOR_THREADS"
LIMITS = ImageLimits(max_bytes=2**24, max_pixels=40_000_000, max_side=16_384)


class Detector:
    """The artifact in onnxruntime on the CPU, run once."""

    def __init__(self) -> None:
        self._runtime = Runtime(Path(os.environ[MODEL]), "cpu", int(os.environ[THREADS]))
        self._settings = DetectSettings.for_model(self._runtime.spec)
        self._runtime.warm_up()

    def __call__(self, data: bytes) -> dict[str, Any]:
        """Return class, score and corners of each object in an encoded image."""
        image = prepare(data, self._runtime.spec, LIMITS)
        (raw,) = infer(self._runtime, [image], [self._settings])
        found = postprocess(image, raw, self._settings).detections
        columns = found.class_ids.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist()
        rows = zip(*columns, strict=True)
        return {"detections": [{"class_id": kind, "score": score, "box": box} for kind, score, box in rows]}
