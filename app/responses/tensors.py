"""Answers of the Open Inference Protocol: output tensors as JSON, or as bytes behind it; statistics of models."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from fastapi import Response
from numpy.typing import NDArray

from yoloscope.app.openapi import HEADER_LENGTH
from yoloscope.app.requests.tensors import InferCall
from yoloscope.app.schemas.inference_protocol import Duration, InferenceStatistics, ModelStatistics
from yoloscope.app.services.metrics import Metrics
from yoloscope.app.services.tensor_models import PLATFORM, TensorModel, Tensors
from yoloscope.models.errors import ModelError

_SIZE: Final = "binary_data_size"


def infer_response(model: TensorModel, call: InferCall, tensors: Tensors) -> Response:
    """Return the outputs, those that are wanted as bytes behind the JSON in the same order."""
    datatypes = {info.name: info.datatype for info in model.outputs}
    outputs, blobs = list[dict[str, Any]](), list[bytes]()
    for name, tensor in tensors.items():
        output: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": list(tensor.shape)}
        if name in call.binary_outputs:
            blobs.append(_to_bytes(tensor))
            output["parameters"] = {_SIZE: len(blobs[-1])}
        else:
            output["data"] = [_text(item) for item in tensor.ravel().tolist()]
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model.name, "model_version": model.runtime.version, "outputs": outputs}
    if call.id is not None:
        document["id"] = call.id
    try:
        header = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise ModelError("expected finite outputs, got others, which JSON cannot hold: ask for binary_data") from error
    if not call.binary_outputs:
        return Response(header, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(header))}
    return Response(b"".join([header, *blobs]), headers=headers, media_type="application/octet-stream")


def _text(item: object) -> object:
    return item.decode() if isinstance(item, bytes) else item


def _to_bytes(tensor: NDArray[Any]) -> bytes:
    if tensor.dtype.kind != "O":
        return tensor.tobytes()
    return b"".join(struct.pack("<I", len(item)) + item for item in tensor.ravel().tolist())


def model_config(model: TensorModel) -> dict[str, Any]:
    """Return a model as Triton's ``ModelConfig``, with the names of its classes as a parameter."""
    return {
        "name": model.name,
        "platform": PLATFORM,
        "max_batch_size": 0,
        "input": [
            {"name": info.name, "data_type": _type(info.datatype), "dims": info.shape, "optional": info.optional}
            for info in model.inputs
        ],
        "output": [
            {"name": info.name, "data_type": _type(info.datatype), "dims": info.shape} for info in model.outputs
        ],
        "parameters": {"class_names": {"string_value": json.dumps(model.runtime.spec.class_names)}},
    }


def _type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def model_statistics(model: TensorModel, metrics: Metrics) -> ModelStatistics:
    """Return the statistics of a model since the service started; both models of an artifact have the same."""

    def value(name: str, **labels: str) -> float:
        return metrics.registry.get_sample_value(f"yoloscope_{name}", {"model": model.base, **labels}) or 0.0

    def duration(name: str, **labels: str) -> Duration:
        return Duration(
            count=int(value(f"{name}_duration_seconds_count", **labels)),
            ns=int(value(f"{name}_duration_seconds_sum", **labels) * 1e9),
        )

    return ModelStatistics(
        name=model.name,
        version=model.runtime.version,
        last_inference=int(value("last_inference_timestamp_seconds") * 1e3),
        inference_count=int(value("images_total")),
        execution_count=int(value("inference_executions_total")),
        inference_stats=InferenceStatistics(
            success=duration("model_request", outcome="success"),
            fail=duration("model_request", outcome="fail"),
            queue=duration("stage", stage="queue"),
            compute_input=duration("stage", stage="decode"),
            compute_infer=duration("stage", stage="infer"),
            compute_output=duration("stage", stage="finish"),
        ),
    )
