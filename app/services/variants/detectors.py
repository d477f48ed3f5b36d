"""Detectors of the variants: int8 artifacts in onnxruntime, and networks in OpenVINO.

Behind a network in OpenVINO decoding and suppression stay those of the artifact, in onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import local
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.app.services.runtime import Images, Runtime, VariantDetector
from yoloscope.app.services.variants.report import Engine, VariantPrecision
from yoloscope.models.detections import Detections
from yoloscope.models.errors import ModelLoadError
from yoloscope.models.session import open_session
from yoloscope.models.spec import DetectorSpec

INT8: Final = "int8.onnx"
"""A whole artifact."""
NETWORK: Final[dict[VariantPrecision, str]] = {"bf16": "network.onnx", "int8": "network_int8.onnx"}
"""Float images [B, C, H, W] in 0..1, named ``images``, to the raw heads."""
DETECTION: Final = "detection.onnx"
"""Raw heads and thresholds to detections."""
_OUTPUTS: Final = ("num_detections", "boxes", "scores", "class_ids")
_SCALE: Final = np.float32(1 / 255)


def open_variant(
    folder: Path, precision: VariantPrecision, engine: Engine, spec: DetectorSpec, threads: int
) -> VariantDetector:
    """Return the detector of one variant in its folder; raises ModelLoadError, ModelNotFoundError."""
    if engine == "openvino":
        return OpenVinoDetector(folder, spec, precision, threads)
    runtime = Runtime(folder / INT8, "cpu", threads)
    runtime.open_half()
    return runtime


def has_bf16() -> bool:
    """Return whether OpenVINO is installed and computes in bf16 on this CPU (AMX or AVX-512 BF16)."""
    try:
        import openvino  # noqa: PLC0415 - an extra
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoDetector:
    """Detections of an artifact, its network in bf16 or int8; images go one by one, calls may come from any thread.

    The network is compiled twice: for runs that take all ``threads``, and for two at once, each in half of them. Twice
    as many images are worth being at work: with two, both at times decode or wait for Python's lock, and a core has
    nothing to do. What int8 leaves in float is computed in bf16 where the CPU can. Raises ModelLoadError
    where OpenVINO is not installed or cannot compile the network.
    """

    def __init__(self, folder: Path, spec: DetectorSpec, precision: VariantPrecision, threads: int) -> None:
        try:
            counts = (1, 2) if threads > 1 else (1,)
            self._networks = [_compile(folder / NETWORK[precision], spec, threads, streams) for streams in counts]
        except Exception as error:
            raise ModelLoadError(f"expected a network that OpenVINO can run, got: {error}") from error
        self._detection = open_session(folder / DETECTION, threads=1)
        self._heads = [f"head_{index}" for index in range(len(spec.heads))]
        self._requests = local()
        self.images_at_once = 4 if threads > 1 else 1
        self.spec = spec

    def detect(
        self, images: Images, score_threshold: Sequence[float], iou_threshold: Sequence[float], *, half: bool = False
    ) -> list[Detections]:
        """Return the detections of placed images [B, H, W, 3] in 0..255, thresholds per image; network pixels."""
        return [
            self._detect_one(image, *thresholds, half=half)
            for image, *thresholds in zip(images, score_threshold, iou_threshold, strict=True)
        ]

    def _detect_one(
        self, image: NDArray[Any], score_threshold: float, iou_threshold: float, *, half: bool
    ) -> Detections:
        name = "half" if half else "whole"
        request = getattr(self._requests, name, None)
        if request is None:
            request = self._networks[-1 if half else 0].create_infer_request()
            setattr(self._requests, name, request)
        planes = image[..., : self.spec.input_channels]  # of a gray network all three are the gray image
        results = request.infer({0: np.multiply(planes, _SCALE, dtype=np.float32)[None]}, share_inputs=True)
        feeds = {name: results[name] for name in self._heads}
        feeds["score_threshold"] = np.array([score_threshold], np.float32)
        feeds["iou_threshold"] = np.array([iou_threshold], np.float32)
        counts, boxes, scores, class_ids = self._detection.run(_OUTPUTS, feeds)
        count = int(counts[0])
        return Detections(boxes[0, :count], scores[0, :count], class_ids[0, :count])


def _compile(network: Path, spec: DetectorSpec, threads: int, streams: int) -> Any:  # noqa: ANN401 - OpenVINO has no types
    import openvino  # noqa: PLC0415 - an extra

    core = openvino.Core()
    steps = openvino.preprocess.PrePostProcessor(core.read_model(network))
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    model = steps.build()
    model.reshape([1, spec.input_height, spec.input_width, spec.input_channels])
    options = {
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16() else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(model, "CPU", options)
