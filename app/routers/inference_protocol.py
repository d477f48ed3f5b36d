"""Routes of the Open Inference Protocol, version 2 (KServe v2), with Triton's extensions, which its clients speak.

Each model is served twice: ``NAME`` with the tensors of its artifact, ``NAME_detect`` from encoded images to
detections. Errors are ``{"error": ...}``.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from yoloscope.app.errors import documented_protocol_errors
from yoloscope.app.openapi import infer_body, json_body
from yoloscope.app.requests.detect import ServicesDependency, start_timing
from yoloscope.app.requests.tensors import header_length, parse_body, read_infer_request
from yoloscope.app.responses.tensors import infer_response, model_config, model_statistics
from yoloscope.app.schemas.inference_protocol import (
    ControlRequest,
    IndexEntry,
    IndexRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    TensorMetadata,
)
from yoloscope.app.services.state import Services
from yoloscope.app.services.tensor_models import DETECT_SUFFIX, PLATFORM, TensorInfo, TensorModel, describe, infer
from yoloscope.models.errors import ForbiddenError, ModelNotFoundError, NotReadyError

router = APIRouter(prefix="/v2", tags=["inference protocol"])

EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_ERRORS: Final = documented_protocol_errors(400, 404, 503)
_INFER_ERRORS: Final = documented_protocol_errors(400, 404, 408, 413, 503, 504)
Name = Annotated[str, Path(max_length=200)]


@router.get("", operation_id="serverMetadata", summary="Describe the server")
@router.get("/", include_in_schema=False)
async def metadata() -> ServerMetadata:
    """Name the server, its version and the extensions of the protocol that it has."""
    return ServerMetadata(name="yoloscope", version=installed_version("yoloscope"), extensions=list(EXTENSIONS))


@router.get("/health/live", operation_id="serverLive", summary="Is the server alive?")
async def live() -> ServerLive:
    """Answer as long as the process does."""
    return ServerLive()


@router.get(
    "/health/ready",
    operation_id="serverReady",
    summary="Is the server ready?",
    responses=documented_protocol_errors(503),
)
async def ready(services: ServicesDependency) -> ServerReady:
    """Answer 200 once the default model has run, 503 before and while draining."""
    await services.ready()
    return ServerReady()


@router.get("/models/stats", operation_id="allStatistics", summary="Statistics of all loaded models")
async def all_statistics(services: ServicesDependency) -> Statistics:
    """Count images, runs and times of every loaded model since the service started."""
    models = [describe(name, name, runtime) for name, runtime, _ in services.store.serving()]
    return Statistics(model_stats=[model_statistics(model, services.metrics) for model in models])


@router.get("/models/{name}", operation_id="modelMetadata", summary="Describe a model", responses=_ERRORS)
@router.get(
    "/models/{name}/versions/{version}",
    operation_id="modelVersionMetadata",
    summary="Describe a model",
    responses=_ERRORS,
)
async def model_metadata(services: ServicesDependency, name: Name, version: Name | None = None) -> ModelMetadata:
    """Name the inputs and outputs of a model; it is loaded if it was not."""
    model = await _model(services, name, version)
    return ModelMetadata(
        name=name,
        versions=[model.runtime.version],
        platform=PLATFORM,
        inputs=[_tensor(info) for info in model.inputs],
        outputs=[_tensor(info) for info in model.outputs],
    )


@router.get(
    "/models/{name}/config",
    operation_id="modelConfig",
    summary="Describe a model to Triton's clients",
    responses=_ERRORS,
)
@router.get(
    "/models/{name}/versions/{version}/config",
    operation_id="modelVersionConfig",
    summary="Describe a model to Triton's clients",
    responses=_ERRORS,
)
async def config(services: ServicesDependency, name: Name, version: Name | None = None) -> dict[str, Any]:
    """Answer Triton's ``ModelConfig``: inputs, outputs, and the names of the classes as a parameter."""
    return model_config(await _model(services, name, version))


@router.get("/models/{name}/stats", operation_id="modelStatistics", summary="Statistics of a model", responses=_ERRORS)
@router.get(
    "/models/{name}/versions/{version}/stats",
    operation_id="modelVersionStatistics",
    summary="Statistics of a model",
    responses=_ERRORS,
)
async def statistics(services: ServicesDependency, name: Name, version: Name | None = None) -> Statistics:
    """Count images, runs and times of a model since the service started."""
    model = await _model(services, name, version)
    return Statistics(model_stats=[model_statistics(model, services.metrics)])


@router.get("/models/{name}/ready", operation_id="modelReady", summary="Is a model loaded?", responses=_ERRORS)
@router.get(
    "/models/{name}/versions/{version}/ready",
    operation_id="modelVersionReady",
    summary="Is a model loaded?",
    responses=_ERRORS,
)
async def model_ready(services: ServicesDependency, name: Name, version: Name | None = None) -> ModelReady:
    """Answer 200 if a model is loaded, 503 if its first request would load it."""
    base = await services.files.run(_base, services, name)
    if services.store.loaded(base) is None:
        why = services.store.problem(base) or "its first request loads it"
        raise NotReadyError(f"expected a model that is loaded, got {name!r}: {why}")
    await _model(services, name, version)
    return ModelReady(name=name)


@router.post(
    "/models/{name}/infer",
    operation_id="infer",
    summary="Infer tensors",
    response_model=InferResponse,
    responses=_INFER_ERRORS,
    openapi_extra=infer_body(),
)
@router.post(
    "/models/{name}/versions/{version}/infer",
    operation_id="inferVersion",
    summary="Infer tensors",
    response_model=InferResponse,
    responses=_INFER_ERRORS,
    openapi_extra=infer_body(),
)
async def post_infer(
    request: Request, services: ServicesDependency, name: Name, version: Name | None = None
) -> Response:
    """Run a model over tensors given as JSON, or as bytes behind it (``Inference-Header-Content-Length``)."""
    services.limiter.check()
    body = await request.body()
    timing = start_timing(request)
    model = await _model(services, name, version)
    call = await services.decoding.run(read_infer_request, body, header_length(request.headers), model)
    tensors = await infer(services, model, call.query, timing)
    return await services.decoding.run(infer_response, model, call, tensors)


@router.post(
    "/repository/index",
    operation_id="repositoryIndex",
    summary="List the models",
    responses=documented_protocol_errors(400, 413),
    openapi_extra=json_body("IndexRequest"),
)
async def index(request: Request, services: ServicesDependency) -> list[IndexEntry]:
    """List every model with its state, both under its own name and with ``_detect``."""
    wanted = parse_body(IndexRequest, await request.body())
    names = await services.files.run(services.store.names)
    entries = [
        _entry(services, name, shown)
        for name in names
        for shown in (name, name + DETECT_SUFFIX)
        if shown == name or shown not in names
    ]
    return [entry for entry in entries if entry.state == "READY" or not wanted.ready]


@router.post(
    "/repository/models/{name}/load",
    operation_id="loadModel",
    summary="Load a model",
    responses=documented_protocol_errors(400, 403, 404, 413, 503),
    openapi_extra=json_body("ControlRequest"),
)
async def load(request: Request, services: ServicesDependency, name: Name) -> dict[str, Any]:
    """Load a model of the folder, or its file anew; the one of before serves until the new one has run once."""
    await _check_control(request, services)
    await services.load(await services.files.run(_base, services, name))
    return {}


@router.post(
    "/repository/models/{name}/unload",
    operation_id="unloadModel",
    summary="Unload a model",
    responses=documented_protocol_errors(400, 403, 404, 413),
    openapi_extra=json_body("ControlRequest"),
)
async def unload(request: Request, services: ServicesDependency, name: Name) -> dict[str, Any]:
    """Unload a model until it is loaded again; requests at work finish."""
    await _check_control(request, services)
    base = await services.files.run(_base, services, name)
    await services.files.run(services.store.unload, base)
    return {}


async def _check_control(request: Request, services: Services) -> None:
    """Raise ForbiddenError where models follow the folder alone, RequestError for parameters that are not taken."""
    body = parse_body(ControlRequest, await request.body())
    if services.settings.model_control != "explicit":
        raise ForbiddenError("expected YOLOSCOPE_MODEL_CONTROL=explicit, which lets clients load and unload, got none")
    unknown = sorted((body.parameters or {}).keys() - {"unload_dependents"})
    if unknown:
        raise ForbiddenError(f"expected a model by name alone, got the parameter {unknown[0]!r}")


async def _model(services: Services, name: str, version: str | None) -> TensorModel:
    """Return a model of the protocol by name and version; raises ModelNotFoundError or ModelLoadError."""
    loaded = services.store.fresh(name) is not None
    base = name if loaded else await services.files.run(_base, services, name)
    runtime = await services.model(base)
    if version is not None and version != runtime.version:
        raise ModelNotFoundError(f"expected the version {runtime.version} of {name!r}, got {version!r}")
    return describe(name, base, runtime)


def _base(services: Services, name: str) -> str:
    """Return the name of the artifact behind a model; raises ModelNotFoundError."""
    for base in (name, name.removesuffix(DETECT_SUFFIX)):
        if services.store.has(base):
            return base
    raise services.store.not_found(name)


def _tensor(info: TensorInfo) -> TensorMetadata:
    return TensorMetadata(name=info.name, datatype=info.datatype, shape=list(info.shape))


def _entry(services: Services, name: str, shown: str) -> IndexEntry:
    store = services.store
    runtime = store.loaded(name)
    if runtime is not None:
        return IndexEntry(name=shown, version=runtime.version, state="READY", reason="")
    if store.loading(name):
        return IndexEntry(name=shown, version="", state="LOADING", reason="")
    why = store.problem(name) or "not loaded: its first request loads it"
    return IndexEntry(name=shown, version="", state="UNAVAILABLE", reason=why)
