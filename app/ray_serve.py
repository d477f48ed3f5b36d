"""The service on Ray Serve: replicas of the same app on the machines of a Ray cluster, as many as the load needs.

``yoloscope serve --ray`` runs ``serve_on_ray``; a RayService manifest names ``yoloscope.app.ray_serve:application``.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from logging.config import dictConfig
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from yoloscope.app.hub import ensure_model
from yoloscope.app.request_log import ID_HEADER, log_config
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME: Final = "yoloscope"
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_OURS: Final = "yoloscope.models.errors."
_REACH_S: Final = 5.0
_RETRY_AFTER_S: Final = 1.0
_WANTED_SHARE: Final = 8
"""Replicas are added where a queue is fuller than this part of its limit."""
_NO_DATABASE: Final = (
    "expected a database that replicas share, got none: on Ray audits need YOLOSCOPE_DATABASE_URL (PostgreSQL)"
)

logger = logging.getLogger(__name__)


def application(arguments: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 (ray has no types here)
    """Return the Ray Serve application for settings from the environment, with ``arguments`` on top.

    Ray Serve calls it where a configuration names it, with the ``args`` there. Raises ConfigError.
    """
    return bind(load_settings(**(arguments or {})))


def bind(settings: Settings) -> Any:  # noqa: ANN401 (ray has no types here)
    """Return the Ray Serve application: the app as an ingress, with its limits as Ray's.

    Half of ``queue_limit`` requests are at most in a replica, as many wait for one in each proxy, and what is more is
    answered with 503 and Retry-After. Raises ConfigError for settings that do not go with replicas.
    """
    if settings.model_control != "none":
        raise ConfigError(
            "YOLOSCOPE_MODEL_CONTROL: expected none on Ray, got explicit: a load reaches one replica only"
        )
    if settings.ray_max_replicas < settings.ray_min_replicas:
        raise ConfigError(
            f"YOLOSCOPE_RAY_MAX_REPLICAS: expected at least YOLOSCOPE_RAY_MIN_REPLICAS ({settings.ray_min_replicas}), "
            f"got {settings.ray_max_replicas}"
        )
    half = max(settings.queue_limit // 2, 1)
    deployment = serve.deployment(
        serve.ingress(_builder(settings))(Detection),
        name=NAME,
        ray_actor_options={"num_cpus": settings.threads, "num_gpus": settings.ray_gpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.ray_min_replicas,
            max_replicas=settings.ray_max_replicas,
            target_ongoing_requests=max(half / _WANTED_SHARE, 1),
        ),
        max_ongoing_requests=half,
        max_queued_requests=half,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=_RETRY_AFTER_S),
        graceful_shutdown_timeout_s=settings.shutdown_grace_s,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deployment.bind()


class NamedByProxy:
    """ASGI middleware: leaves the header X-Request-ID of an answer to Ray's proxy.

    The proxy gives each request that name, under which the app logs it, and adds it to every answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def send_unnamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message.get("headers", []) if pair[0].lower() != ID_HEADER]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_unnamed)


class Detection:
    """The deployment; requests go to the app that Ray puts around it."""


def serve_on_ray(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve on the cluster that ``RAY_ADDRESS`` names, else on one of this machine alone, until a signal stops it.

    Raises ConfigError for settings that do not go with replicas, or where no machine is large enough for one, and
    ServiceError where there is no cluster or no replica starts.
    """
    app = bind(settings)
    if not settings.port:
        raise ConfigError("--port: expected one that all machines of the cluster listen on with --ray, got 0")
    address = os.environ.get("RAY_ADDRESS")
    _connect(address)
    try:
        _require_room(settings)
        http = {"host": settings.host, "port": settings.port, "keep_alive_timeout_s": settings.keep_alive_s}
        serve.start(proxy_location="EveryNode", http_options=http)
        try:
            _deploy(app)
            announce(f"on Ray, {address or 'this machine alone'}")
            Event().wait()
        finally:
            if address:
                serve.delete(NAME)  # others may serve there as well
            else:
                serve.shutdown()
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    """Connect to a cluster, or start one on this machine; signals are still handled as before."""
    handlers = {number: signal.getsignal(number) for number in _STOPPING}
    try:
        if address:
            _reach(address)
            ray.init(address)
        else:
            ray.init("local", include_dashboard=False)
    except (RuntimeError, OSError) as error:
        raise ServiceError(
            f"expected a Ray cluster {f'at {address}' if address else 'to start'}, got: {error}"
        ) from error
    for number, handler in handlers.items():  # Ray's own print a stack
        signal.signal(number, handler)


def _reach(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT, for which Ray waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()


def _deploy(app: Any) -> None:  # noqa: ANN401 (ray has no types here)
    """Wait until a replica serves; raise ServiceError with the replica's own words where none starts."""
    try:
        serve.run(app, name=NAME, route_prefix="/")
    except RuntimeError as error:
        deployment = serve.status().applications[NAME].deployments.get(NAME)
        lines = [line.strip() for line in deployment.message.splitlines()] if deployment else []
        said = next((line.partition(": ")[2] for line in lines if line.startswith(_OURS)), str(error))
        raise ServiceError(f"expected replicas that start, got: {said}") from error


def _builder(settings: Settings) -> Callable[[], FastAPI]:
    """Return what makes the app in a replica."""

    def build() -> FastAPI:
        from yoloscope.app.main import create_app  # noqa: PLC0415 (in the replica)

        dictConfig(log_config(settings.log_level))
        ensure_model(settings, logger.warning)
        app = create_app(settings)
        app.add_middleware(NamedByProxy)
        if not settings.database_url:
            app.state.services.no_audits = _NO_DATABASE
        return app

    return build


def _require_room(settings: Settings) -> None:
    """Raise ConfigError where no machine of the cluster has the CPUs and the share of a GPU that a replica takes."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(
        machine.get("CPU", 0) >= settings.threads and machine.get("GPU", 0) >= settings.ray_gpus for machine in machines
    ):
        found = ", ".join(f"{machine.get('CPU', 0):g} CPUs and {machine.get('GPU', 0):g} GPUs" for machine in machines)
        raise ConfigError(
            f"expected a machine in the cluster with {settings.threads} CPUs (YOLOSCOPE_THREADS) and "
            f"{settings.ray_gpus:g} GPUs (YOLOSCOPE_RAY_GPUS), got {found}"
        )
