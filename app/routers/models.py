"""Routes of models: list and description."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from yoloscope.app.errors import documented
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.schemas.models import ModelDetail, ModelList, ModelSummary

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", operation_id="listModels", summary="List the models")
async def list_models(services: ServicesDependency) -> ModelList:
    """List every model that a request may name, with version and provider, or the reason why it cannot be loaded."""
    store = services.store
    names = await services.files.run(store.names)
    loaded = {name: store.loaded(name) for name in names}
    return ModelList(
        default=store.default,
        fallback_for=services.fallback_for,
        models=[
            ModelSummary(
                name=name,
                default=name == store.default,
                loaded=runtime is not None,
                version=runtime.version if runtime else None,
                provider=runtime.provider if runtime else None,
                problem=store.problem(name),
            )
            for name, runtime in loaded.items()
        ],
    )


@router.get("/{name}", operation_id="getModel", summary="Describe a model", responses=documented(404, 422, 503))
async def get_model(name: Annotated[str, Path(max_length=200)], services: ServicesDependency) -> ModelDetail:
    """Return the whole description of a model; it is loaded if it was not."""
    runtime = await services.model(name)
    return ModelDetail(
        name=name,
        default=name == services.store.default,
        version=runtime.version,
        sha256=runtime.sha256,
        provider=runtime.provider,
        spec=runtime.spec,
    )
