"""Routes of models: list and description."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path

from yoloscope.app.errors import documented
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.schemas.models import ModelDetail, ModelList, ModelSummary, Precision, VariantFigures
from yoloscope.app.services.variants.service import VariantStatus

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
        precision=_precision(services.settings.precision, services.variants.status(name, runtime)),
        spec=runtime.spec,
    )


def _precision(requested: Literal["auto", "fp32", "int8", "bf16"], status: VariantStatus) -> Precision:
    variant, report = status.variant, status.report
    precision = Precision(
        requested=requested,
        state=status.state,
        running=variant.precision if variant else "fp32",
        engine=variant.engine if variant else "onnxruntime",
        reason=status.reason,
    )
    if variant is not None:
        precision.ap_drop, precision.speedup = variant.ap_drop, variant.speedup
    if report is not None:
        precision.fp32_ap, precision.measured_against = report.ap, report.measure
        precision.measured_on, precision.measured_images = report.data, report.measured_images
        precision.calibration_images = report.calibration_images
        precision.variants = [
            VariantFigures(precision=one.precision, engine=one.engine, ap_drop=one.ap_drop, speedup=one.speedup)
            for one in report.variants
        ]
    return precision
