"""Routes that watch the service: liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from yoloscope.app.errors import documented
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.schemas.models import Live, Ready

router = APIRouter(tags=["health"])


@router.get("/health/live", operation_id="getLive", summary="Is the process alive?")
async def live() -> Live:
    """Answer as long as the process does; no model is touched."""
    return Live()


@router.get("/health/ready", operation_id="getReady", summary="May requests be sent?", responses=documented(503))
async def ready(services: ServicesDependency) -> Ready:
    """Answer 200 once the default model has run on the provider that was asked for, 503 before and while draining."""
    runtime = await services.ready()
    return Ready(model=services.store.default, version=runtime.version, provider=runtime.provider)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"description": "Metrics in Prometheus' text format.", "content": {"text/plain": {}}}},
)
async def metrics(services: ServicesDependency) -> Response:
    """Answer counts, times and states of requests, models and stages; docs/service.md lists them."""
    return Response(await services.files.run(services.metrics.text), media_type=CONTENT_TYPE_PLAIN_0_0_4)
