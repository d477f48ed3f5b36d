"""Routes of health: liveness and readiness."""

from __future__ import annotations

from fastapi import APIRouter

from yoloscope.app.errors import documented
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.schemas.models import Live, Ready

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="getLive", summary="Is the process alive?")
async def live() -> Live:
    """Answer as long as the process does; no model is touched."""
    return Live()


@router.get("/ready", operation_id="getReady", summary="May requests be sent?", responses=documented(503))
async def ready(services: ServicesDependency) -> Ready:
    """Answer 200 once the default model has run on the provider that was asked for, 503 before and while draining."""
    runtime = await services.ready()
    return Ready(model=services.store.default, version=runtime.version, provider=runtime.provider)
