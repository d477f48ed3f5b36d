"""``yoloscope serve``."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from logging.config import dictConfig
from socket import (
    AF_INET6,
    AI_PASSIVE,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    getaddrinfo,
    socket,
)
from types import FrameType
from typing import Annotated, Final

import typer
import uvicorn
from rich.console import Console

from yoloscope.app.commands.common import reach_model
from yoloscope.app.commands.options import ModelOption, ModelsDirOption, ProviderOption, WeightsOption
from yoloscope.app.http_protocol import backlog, on_loop_error, protocol_for
from yoloscope.app.main import create_app
from yoloscope.app.request_log import log_config
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings, load_settings, misspelled
from yoloscope.app.supervisor import SAME_SIGNAL_S, Lifeline, Supervisor
from yoloscope.models.errors import ConfigError


def serve(
    model: ModelOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", envvar="YOLOSCOPE_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", envvar="YOLOSCOPE_PORT")] = None,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the network; default: the CPUs allowed.", envvar="YOLOSCOPE_THREADS")
    ] = None,
    supervise: Annotated[
        bool | None,
        typer.Option(
            help="Start the serving process again when it dies (default: yes).",
            envvar="YOLOSCOPE_SUPERVISE",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Serve on the Ray cluster at RAY_ADDRESS, or on one of this machine alone.")
    ] = False,
) -> None:
    """Start the REST service and stop it on SIGTERM or Ctrl-C, finishing the requests at work.

    Where no model is named it is yolov4-tiny, fetched and converted on the first start, or the built-in detector of
    blood cells where that is out of reach. The API is described at /docs.
    """
    for number in _STOPPING:
        signal.signal(number, _exit_cleanly)
    settings = load_settings(
        model=model,
        host=host,
        port=port,
        provider=provider,
        models_dir=models_dir,
        weights=weights,
        threads=threads,
        supervise=supervise,
    )
    if ray:
        _run_on_ray(settings)
    else:
        _run(settings)


def _run_on_ray(settings: Settings) -> None:
    try:
        from yoloscope.app.ray_serve import serve_on_ray  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise ConfigError("serve --ray needs ray: pip install 'yoloscope[ray]'") from error
    try:
        serve_on_ray(settings, partial(_say_where, reachable_url(settings.host, settings.port)))
    except SystemExit:
        sys.stderr.flush()
        os._exit(0)  # Ray's threads abort the process when Python takes itself apart


def _run(settings: Settings) -> None:
    dictConfig(log_config(settings.log_level))
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    for name, meant in misspelled(os.environ):
        _LOGGER.warning("%s is no setting and has no effect: was %s meant?", name, meant)
    lifeline = Supervisor.lifeline
    sockets = None if lifeline is None else lifeline.sockets()
    if sockets is None:
        require_address(settings.host, settings.port)
    reach_model(settings)
    app = create_app(settings)
    services: Services = app.state.services
    services.start()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        backlog=backlog(),
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        server_header=False,
        http=protocol_for(services),
        ws="none",
    )
    if lifeline is not None:
        faulthandler.enable()  # what crashes, or hangs and is ended by the supervisor, writes where it was
    try:
        Server(config, services, lifeline).run(sockets)
    finally:
        for number in (*_STOPPING, signal.SIGQUIT):  # which would end Python while it takes itself apart
            signal.signal(number, signal.SIG_IGN)
        failure = sys.exc_info()[1]
        if services.unfinished and (failure is None or isinstance(failure, SystemExit)):
            # Python would wait for the threads, however long they take, or crash beside them
            with suppress(OSError):
                sys.stderr.flush()
            os._exit(int(failure.code or 0) if isinstance(failure, SystemExit) else 0)


def require_address(host: str, port: int) -> None:
    """Raise ConfigError where nothing can listen on an address: before a model is fetched and loaded for it."""
    failures: list[OSError] = []
    try:
        addresses = getaddrinfo(host or None, port, type=SOCK_STREAM, flags=AI_PASSIVE)
    except OSError as error:
        addresses, failures = [], [error]
    for family, kind, protocol, _, address in addresses:
        try:
            with socket(family, kind, protocol) as probe:
                probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                if family == AF_INET6:
                    probe.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            failures.append(error)
    taken = [error for error in failures if error.errno == errno.EADDRINUSE]
    if taken or (failures and len(failures) >= len(addresses)):
        reason = (taken or failures)[0].strerror
        raise ConfigError(
            f"expected an address to listen on, got {host} with port {port}: {reason}; "
            "--host and --port name another, --port 0 any free port"
        )


class Server(uvicorn.Server):
    """uvicorn with a hint on its use, which turns not ready for ``settings.drain_s`` before it stops listening.

    What is still at work ``settings.shutdown_grace_s`` later is cut off. With a ``lifeline`` a supervisor keeps the
    sockets, counts the stopping signals and sends SIGQUIT for a second one; when it dies, the service stops.
    """

    def __init__(self, config: uvicorn.Config, services: Services, lifeline: Lifeline | None = None) -> None:
        super().__init__(config)
        self._services = services
        self._lifeline = lifeline
        self._signal = 0, 0.0
        self._hangs = False

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start listening and announce it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(on_loop_error)
        await super().startup(sockets)
        if not self.started:
            return
        gc.freeze()  # what is there stays: looking through all of it would hold everybody up for 0.2 s now and then
        if self._lifeline is not None:
            signal.signal(signal.SIGQUIT, self._end_at_once)
            loop.add_reader(self._lifeline, self._on_supervisor_gone)
            self._beat(self._lifeline)
        if sockets is not None:
            _LOGGER.info("the service listens again")
            return
        listeners = [listener for server in self.servers for listener in server.sockets]
        if self._lifeline is not None:
            self._lifeline.keep([listener.fileno() for listener in listeners])
        _announce(self._services, listeners[0].getsockname()[1])

    def _beat(self, lifeline: Lifeline) -> None:
        """Tell the supervisor every second that the event loop turns and no batch of images hangs."""
        timeout_s = self._services.settings.hang_timeout_s
        before, self._hangs = self._hangs, timeout_s > 0 and self._services.inference.hangs(timeout_s)
        if not self._hangs:
            lifeline.beat()
        elif not before:
            _LOGGER.error("an image is in the network for over %g s, far longer than others were", timeout_s)
        asyncio.get_running_loop().call_later(_BEAT_S, self._beat, lifeline)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop listening, let requests finish, and let those that were cut off be answered."""
        await self._take_what_waits()
        await super().shutdown(sockets)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                while self.server_state.tasks or self.server_state.connections:
                    await asyncio.sleep(0.01)

    async def _take_what_waits(self) -> None:
        """Stop listening, and accept the connections that the system has taken already: they would be reset."""
        listeners = [os.dup(listener.fileno()) for server in self.servers for listener in server.sockets]
        for server in self.servers:
            server.close()
        waiting = [connection for descriptor in listeners for connection in _accepted(descriptor)]
        for connection in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, exit at once on the second: with a status over 128 if work is lost by it."""
        delay = self._services.settings.drain_s
        if self._services.draining:
            again = sig != self._signal[0] or time.monotonic() - self._signal[1] >= SAME_SIGNAL_S
            if self._lifeline is None and again:  # a supervisor counts the signals itself
                self._end_at_once(sig, frame)
            return
        self._services.draining = True
        self._signal = sig, time.monotonic()
        if self._lifeline is not None:
            self._lifeline.leave()
        if delay:
            signal.signal(signal.SIGALRM, lambda *_: uvicorn.Server.handle_exit(self, sig, frame))
            signal.setitimer(signal.ITIMER_REAL, delay)
        else:
            super().handle_exit(sig, frame)

    def _end_at_once(self, sig: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, b"stopped at once by a second signal\n")
        until = time.monotonic() + _ON_ITS_WAY_OUT_S
        while self._services.busy and not self._services.limiter.held and time.monotonic() < until:
            time.sleep(_ON_ITS_WAY_OUT_S / 10)
        os._exit(128 + sig if self._services.busy or self._services.limiter.held else 0)

    def _on_supervisor_gone(self) -> None:
        assert self._lifeline is not None
        asyncio.get_running_loop().remove_reader(self._lifeline)
        if not self._services.draining:
            _LOGGER.error("the supervisor is gone: the service stops")
            self.handle_exit(signal.SIGTERM, None)


def _accepted(descriptor: int) -> list[socket]:
    """Return the connections that wait at a listener, and close it: none that comes once those are served is taken."""
    waiting: list[socket] = []
    with socket(fileno=descriptor) as listener, suppress(OSError):  # of which the first says: no more
        while len(waiting) < _MOST_WAITING:
            connection, _ = listener.accept()
            connection.setblocking(False)
            waiting.append(connection)
    return waiting


_MOST_WAITING: Final = 1024
_LOGGER: Final = logging.getLogger(__name__)
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may hold the interpreter while the event loop waits for it, at each call of the network."""
_BEAT_S: Final = 1.0
_ON_ITS_WAY_OUT_S: Final = 0.1
"""For a thread whose answer is sent already to be seen as free."""
_LAST_ANSWERS_S: Final = 1.0
"""For what is cut off to be answered."""


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    """Answer the stopping signal, which uvicorn raises again once it is done: that is a success."""
    sys.exit(0)


_REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (looked up, not bound)
"""Where a service that listens on every address is reached from its own machine."""


def reachable_url(host: str, port: int) -> str:
    """Return the URL under which a service is reached from its own machine."""
    shown = _REACHABLE.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _announce(services: Services, port: int) -> None:
    settings: Settings = services.settings
    runtime = services.store.get()
    url = reachable_url(settings.host, port)
    _say_where(
        url,
        f"model {services.store.default} (version {runtime.version}) on {runtime.provider}, "
        f"{settings.threads} threads; more models go into {settings.models_dir}",
    )


def _say_where(url: str, how: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with suppress(OSError):  # a full disk below the log: what serves need not say so
        console.print(
            f"[bold]Yoloscope {version('yoloscope')}[/bold] listens on [bold]{url}[/bold] (a page; API: {url}/docs)\n"
            f"{how}\n"
            f"try:  curl -F image=@image.jpg {url}/v1/detect"
        )
