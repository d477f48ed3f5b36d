"""An artefact at work in onnxruntime for evaluation, on pictures that need not be rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models.detector import DETECTIONS, INPUTS
from models.errors import ModelLoadError
from models.spec import METADATA_KEY, DetectorSpec
from models.structures import Detections

_PROVIDERS: Final = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


class ArtefactDetector:
    """Runs an artefact whose input ``images`` is declared float instead of uint8.

    The graph scales its input in float anyway, so whole numbers give what the artefact gives. ``provider`` is ``cpu``
    or ``cuda``; ``threads`` 0 leaves their number to onnxruntime. Raises ModelLoadError.
    """

    def __init__(self, path: str | Path, provider: str = "cpu", threads: int = 0) -> None:
        try:
            model = onnx.load(path)
            self._spec = _spec_inside(model)
            _declare_float(model.graph)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            graph = model.SerializeToString()
            self._session = onnxruntime.InferenceSession(graph, options, providers=_PROVIDERS[provider])
        except Exception as error:
            raise ModelLoadError(f"expected an artefact at {path}, got a file that cannot be run: {error}") from error

    @property
    def spec(self) -> DetectorSpec:
        """The detector's description."""
        return self._spec

    def detect(
        self, images: NDArray[np.float32], score_threshold: Sequence[float], iou_threshold: Sequence[float]
    ) -> list[Detections]:
        """Return the detections of placed pictures [B, H, W, 3] in 0..255, thresholds per picture; network pixels."""
        feeds: dict[str, NDArray[Any]] = {
            "images": images,
            "score_threshold": np.asarray(score_threshold, np.float32),
            "iou_threshold": np.asarray(iou_threshold, np.float32),
        }
        counts, boxes, scores, class_ids = self._session.run(list(DETECTIONS), feeds)
        return [
            Detections(boxes[row, :count], scores[row, :count], class_ids[row, :count])
            for row, count in enumerate(counts.tolist())
        ]


def _spec_inside(model: onnx.ModelProto) -> DetectorSpec:
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in texts:
        raise ModelLoadError(f"the metadata {METADATA_KEY!r} is not there")
    return DetectorSpec.from_json(texts[METADATA_KEY])


def _declare_float(graph: onnx.GraphProto) -> None:
    """Change the type of ``images`` in place; what the graph states of types after it is left to be inferred."""
    images = next(value for value in graph.input if value.name == INPUTS[0])
    images.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del graph.value_info[:]
