"""The application factory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Route

from yoloscope.app import errors, openapi
from yoloscope.app.api_keys import ApiKeys, RequireApiKey
from yoloscope.app.content_encoding import DecompressedBodies
from yoloscope.app.interruptions import Interruptions
from yoloscope.app.middleware import BodyLimits, HeadAsGet, PathPrefix, UploadLimits
from yoloscope.app.request_log import RequestLog
from yoloscope.app.request_metrics import NoteRoute, RequestMetrics
from yoloscope.app.routers import (
    audits,
    deepstack,
    detect,
    health,
    inference_protocol,
    losses,
    models,
    page,
    score,
    swagger,
)
from yoloscope.app.services.state import Services
from yoloscope.app.services.torch_import import import_torch
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.images import quiet_repairs, return_freed_memory

if TYPE_CHECKING:
    from yoloscope.app.services.label_studio import LabelStudio

_DESCRIPTION = """\
Detects objects in images with YOLO models. Every error is `application/problem+json` (RFC 9457): `type` and `title`
say which kind, `detail` what was expected and what came, `errors` points at the faulty fields.
"""


_SWITCH_INTERVAL_S: Final = 0.001
"""After which a thread that decodes lets the event loop run, instead of Python's 5 ms."""
_ROUTERS: Final = (  # tried in this order
    detect.router,
    score.router,
    losses.router,
    audits.router,
    models.router,
    health.router,
    inference_protocol.router,
    deepstack.router,
    swagger.router,
    page.router,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the service; entering its lifespan loads the default model and runs it once.

    Without ``settings`` they come from the environment, so that
    ``uvicorn --factory yoloscope.app.main:create_app`` works too.
    """
    quiet_repairs()
    return_freed_memory()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    settings = settings or load_settings()
    app = FastAPI(
        title="Yoloscope",
        version=version("yoloscope"),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,  # routers/swagger.py serves it, without a foreign host
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.services = Services(settings)
    app.add_middleware(NoteRoute)
    app.add_middleware(
        BodyLimits,
        max_bytes=settings.max_body_bytes,
        max_bytes_at_once=settings.max_bytes_at_once,
        timeout_s=settings.body_timeout_s,
        total_timeout_s=settings.upload_timeout_s,
        max_answer_bytes=settings.max_answer_bytes,
        uploads=dict.fromkeys(audits.UPLOADS, UploadLimits(settings.max_audit_bytes, settings.audit_upload_timeout_s)),
    )
    app.add_middleware(DecompressedBodies)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Interruptions, services=app.state.services)
    app.state.api_keys = None
    if settings.api_keys:
        app.state.api_keys = ApiKeys(settings.api_key_digests, settings.max_requests_per_key)
        app.add_middleware(RequireApiKey, keys=app.state.api_keys)
    if settings.cors_origin_list:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origin_list,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    app.add_middleware(RequestLog)
    app.add_middleware(PathPrefix, root_path=settings.root_path)
    routers: tuple[APIRouter, ...] = _ROUTERS
    if settings.label_studio_url:
        router, app.state.label_studio = _label_studio(settings)
        routers = (*_ROUTERS, router)
    metrics, paths = app.state.services.metrics, frozenset(_paths(routers))
    app.add_middleware(RequestMetrics, metrics=metrics, paths=paths)
    errors.install(app)
    for router in routers:
        app.include_router(router)
    openapi.install(app)
    return app


def _label_studio(settings: Settings) -> tuple[APIRouter, LabelStudio]:
    """Return the routes of Label Studio and a client of it, which a service without needs not import."""
    from yoloscope.app.routers.label_studio import router  # noqa: PLC0415 - httpx, and formats of labels
    from yoloscope.app.services.label_studio import LabelStudio  # noqa: PLC0415 - httpx

    client = LabelStudio(settings.label_studio_url, settings.label_studio_token, max_bytes=settings.max_bytes)
    return router, client


def _prepare_reviews() -> None:
    """Import what scores, for which the second that Label Studio waits for a review is not enough."""
    import_torch()
    import yoloscope.app.services.image_scores  # noqa: F401, PLC0415 - PyTorch


def _paths(routers: Iterable[APIRouter]) -> Iterator[str]:
    """Return the paths of routes that have no parameters."""
    for router in routers:
        yield from (route.path for route in router.routes if isinstance(route, Route) and "{" not in route.path)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    try:
        await services.inference.run(services.start)
        if services.settings.label_studio_url:
            await asyncio.to_thread(_prepare_reviews)
        yield
    finally:
        if services.settings.label_studio_url:
            await app.state.label_studio.close()
        await asyncio.to_thread(services.close)
