"""Schemas of the Open Inference Protocol, version 2, and of its extensions.

Sources: https://github.com/kserve/open-inference-protocol, and Triton's protocol extensions for binary tensors,
statistics, model configuration and the model repository.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from yoloscope.app.schemas.base import Schema

Parameters: TypeAlias = dict[str, StrictBool | StrictInt | StrictFloat | StrictStr]
Dimension: TypeAlias = Annotated[StrictInt, Field(ge=0, lt=2**31)]


class ProtocolError(Schema):
    """Why a request failed."""

    error: str


class ServerLive(Schema):
    """The process answers."""

    live: Literal[True] = True


class ServerReady(Schema):
    """The default model has run once."""

    ready: Literal[True] = True


class ServerMetadata(Schema):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Schema):
    """One input or output of a model; -1 is a free dimension."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Schema):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(Schema):
    """A model that is loaded."""

    name: str
    ready: Literal[True] = True


class RequestInput(Schema):
    """One input tensor; its values are in ``data``, flat or nested, or behind the JSON."""

    name: str
    shape: list[Dimension] = Field(max_length=8)
    datatype: str
    parameters: Parameters | None = None
    """`binary_data_size`: bytes of this tensor behind the JSON."""
    data: list[Any] | None = None
    """Values in row-major order; of BYTES, base64."""


class RequestOutput(Schema):
    """One output tensor that is wanted."""

    name: str
    parameters: Parameters | None = None
    """`binary_data`: true for values behind the JSON."""


class InferRequest(Schema):
    """One inference."""

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[RequestInput] = Field(min_length=1, max_length=16)
    outputs: list[RequestOutput] | None = Field(default=None, max_length=64)
    """All outputs if left out or empty."""
    model_name: str | None = None
    """KServe's client repeats the model of the address here."""
    model_version: str | None = None
    """Likewise the version."""


class ResponseOutput(Schema):
    """One output tensor; where `parameters` has `binary_data_size`, its values are behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferResponse(Schema):
    """Outputs of one inference."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


class IndexRequest(Schema):
    """Selection of models."""

    ready: StrictBool = False
    """Only models that are loaded."""


class IndexEntry(Schema):
    """One model of the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class ControlRequest(Schema):
    """Options of loading and unloading."""

    parameters: Parameters | None = None
    """`unload_dependents` is accepted; no model depends on another."""


class Duration(Schema):
    """Count of something, and the nanoseconds that it took altogether."""

    count: int
    ns: int


class InferenceStatistics(Schema):
    """Durations of the requests to a model, and of their stages."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(Schema):
    """Statistics of one model since the service started."""

    name: str
    version: str
    last_inference: int
    """Milliseconds since 1970."""
    inference_count: int
    """Images."""
    execution_count: int
    inference_stats: InferenceStatistics
    batch_stats: list[dict[str, int]] = Field(default_factory=list)


class Statistics(Schema):
    """Statistics of models."""

    model_stats: list[ModelStatistics]
