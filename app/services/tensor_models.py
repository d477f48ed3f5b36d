"""Models as the Open Inference Protocol sees them: named tensors in, named tensors out.

Each artifact is two models: ``NAME`` takes and gives the tensors of the artifact, ``NAME_detect`` takes encoded images
and gives detections in their pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yoloscope.app.services.detection import DetectQuery, detect
from yoloscope.app.services.inference import DetectSettings, EncodedImage, Timing
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.state import Services
from yoloscope.models.errors import RequestError, RequestTooLargeError
from yoloscope.models.spec import DetectorSpec

DETECT_SUFFIX: Final = "_detect"
PLATFORM: Final = "onnx_onnxv1"
Tensors: TypeAlias = dict[str, NDArray[Any]]
Datatype = Literal["UINT8", "INT32", "INT64", "FP32", "BYTES"]
NUMPY_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "UINT8": np.dtype("u1"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "BYTES": np.dtype("O"),
}
_THRESHOLDS: Final = ("score_threshold", "iou_threshold")


@dataclass(frozen=True)
class TensorInfo:
    """Name, type and shape of a tensor; -1 is a free dimension. Optional inputs have the model's own values."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class TensorModel:
    """One model of the protocol: the artifact behind it, and its inputs, outputs and parameters."""

    name: str
    base: str
    runtime: Runtime
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: frozenset[str]

    @property
    def takes_encoded_images(self) -> bool:
        """True of ``NAME_detect``."""
        return self.name != self.base


@dataclass(frozen=True)
class TensorQuery:
    """Checked inputs of an inference, the outputs that are wanted, and the parameters."""

    inputs: Tensors
    outputs: Sequence[str]
    parameters: Mapping[str, float | str]


def describe(name: str, base: str, runtime: Runtime) -> TensorModel:
    """Return the description of one of the two models of an artifact."""
    if name == base:
        inputs, outputs = _artifact_tensors(runtime.spec)
        return TensorModel(name, base, runtime, inputs, outputs, frozenset())
    return TensorModel(
        name, base, runtime, _DETECT_INPUTS, _DETECT_OUTPUTS, frozenset({*_THRESHOLDS, "max_detections"})
    )


def _artifact_tensors(spec: DetectorSpec) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    images = (-1, spec.input_height, spec.input_width, spec.image_planes)
    inputs = (
        TensorInfo("images", "UINT8", images),
        *(TensorInfo(name, "FP32", (-1,), optional=True) for name in _THRESHOLDS),
    )
    heads = [TensorInfo(f"head_{i}", "FP32", (-1, *spec.head_shape(i, 1)[1:])) for i in range(len(spec.heads))]
    outputs = (
        TensorInfo("num_detections", "INT64", (-1,)),
        TensorInfo("boxes", "FP32", (-1, -1, 4)),
        TensorInfo("scores", "FP32", (-1, -1)),
        TensorInfo("class_ids", "INT64", (-1, -1)),
    )
    return inputs, (*outputs, *heads)


_DETECT_INPUTS: Final = (TensorInfo("image_bytes", "BYTES", (-1,)),)
_DETECT_OUTPUTS: Final = (
    TensorInfo("boxes", "FP32", (-1, 4)),
    TensorInfo("scores", "FP32", (-1,)),
    TensorInfo("class_ids", "INT32", (-1,)),
    TensorInfo("class_names", "BYTES", (-1,)),
    TensorInfo("image_index", "INT32", (-1,)),
)


async def infer(services: Services, model: TensorModel, query: TensorQuery, timing: Timing) -> Tensors:
    """Return the wanted outputs of a model.

    Raises RequestError, RequestTooLargeError for more images than one request may have, BusyError, DeadlineError, and
    the ImageError of an image.
    """
    first = model.inputs[0].name
    count = len(query.inputs[first])
    if not count:
        raise RequestError(f"expected at least one image in the input {first!r}, got none")
    if count > services.settings.max_images:
        raise RequestTooLargeError(f"expected at most {services.settings.max_images} images, got {count}")
    found = await (_detect if model.takes_encoded_images else _run)(services, model, query, timing)
    return {name: found[name] for name in query.outputs}


async def _run(services: Services, model: TensorModel, query: TensorQuery, timing: Timing) -> Tensors:
    """Run the artifact over the images, in batches with those of other requests for the same outputs."""
    images, runtime, names = query.inputs["images"], model.runtime, tuple(query.outputs)
    own = runtime.spec.nms.score_threshold, runtime.spec.nms.iou_threshold
    thresholds = [
        _threshold(query.inputs.get(name), name, value, len(images))
        for name, value in zip(_THRESHOLDS, own, strict=True)
    ]

    def run_batch(batch: list[tuple[NDArray[np.uint8], np.float32, np.float32]]) -> list[Tensors]:
        inputs = (np.stack(values) for values in zip(*batch, strict=True))
        outputs = runtime.outputs(names, *inputs, half=services.limiter.held > 1)
        services.metrics.executed(model.base, len(batch))
        return [{name: values[row : row + 1] for name, values in outputs.items()} for row in range(len(batch))]

    items = list(zip(images, *thresholds, strict=True))
    sizes = runtime.batch_sizes(services.settings.max_batch, float(thresholds[0].min()))
    with services.admit(len(images)), services.metrics.request(model.base):
        found = await services.inference.map(run_batch, items, (runtime, names, sizes), sizes, at_once=runtime.at_once)
    timing.stages |= {"queue": found.waited_s * 1e3, "inference": found.ran_s * 1e3}
    services.metrics.staged(model.base, timing.stages)
    return {name: _joined([part[name] for part in found.results]) for name in names}


def _threshold(given: NDArray[np.float32] | None, name: str, own: float, count: int) -> NDArray[np.float32]:
    if given is None:
        return np.full(count, own, np.float32)
    if len(given) != count:
        raise RequestError(f"expected {count} values of {name!r}, one per image, got {len(given)}")
    if not ((given >= 0) & (given <= 1)).all():
        raise RequestError(f"expected values of {name!r} in 0..1, got others")
    return given


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return batches as one; where they have another number of rows [B, N, ...], zeros fill up."""
    if len(parts) == 1:
        return parts[0]
    shape = tuple(max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True))
    joined = np.zeros((sum(len(part) for part in parts), *shape), parts[0].dtype)
    start = 0
    for part in parts:
        joined[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return joined


async def _detect(services: Services, model: TensorModel, query: TensorQuery, timing: Timing) -> Tensors:
    """Detect in encoded images; one row for each detection of all of them."""
    images = [
        EncodedImage(data, f"/inputs/0/data/{index}") for index, data in enumerate(query.inputs["image_bytes"].tolist())
    ]
    settings = _detect_settings(query.parameters, model.runtime.spec)
    run = await detect(services, DetectQuery(images, model.base, lambda _: settings), timing)
    found = [result.detections for result in run.results]
    ids = np.concatenate([item.class_ids for item in found]).astype(np.int32)
    names = [run.runtime.spec.class_names[index].encode() for index in ids.tolist()]
    return {
        "boxes": np.concatenate([item.boxes_xyxy for item in found]).astype(np.float32),
        "scores": np.concatenate([item.scores for item in found]).astype(np.float32),
        "class_ids": ids,
        "class_names": np.array(names, object),
        "image_index": np.repeat(np.arange(len(found), dtype=np.int32), [len(item) for item in found]),
    }


def _detect_settings(parameters: Mapping[str, float | str], spec: DetectorSpec) -> DetectSettings:
    score_threshold, iou_threshold = (_threshold_parameter(parameters, name) for name in _THRESHOLDS)
    limit = parameters.get("max_detections", 300)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 10_000:
        raise RequestError(f"expected a whole number in 1..10000, got {limit!r}", "/parameters/max_detections")
    return DetectSettings.for_model(spec, score_threshold, iou_threshold, limit)


def _threshold_parameter(parameters: Mapping[str, float | str], name: str) -> float | None:
    value = parameters.get(name)
    if value is not None and (isinstance(value, bool | str) or not 0 <= value <= 1):
        raise RequestError(f"expected a number in 0..1, got {value!r}", f"/parameters/{name}")
    return None if value is None else float(value)
