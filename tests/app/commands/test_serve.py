"""yoloscope serve: what it prints, and connections that come while it stops."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from yoloscope.app.cli import build
from yoloscope.app.commands import common, serve
from yoloscope.app.commands.serve import Server, _say_where, reachable_url, require_address
from yoloscope.app.http_protocol import protocol_for
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings
from yoloscope.app.supervisor import Lifeline
from yoloscope.models.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:8000"),
        ("gpu-box", "http://gpu-box:8000"),
    ],
)
def test_the_printed_address_can_be_called(host: str, url: str) -> None:
    assert reachable_url(host, 8000) == url


def test_serving_on_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "yoloscope.app.ray_serve", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(ConfigError, match=r"serve --ray needs ray: pip install 'yoloscope\[ray\]'"):
        CliRunner().invoke(build(["serve"]), ["serve", "--ray"], catch_exceptions=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken_is_named_before_a_model_is_loaded(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = f"expected an address to listen on, got {host} with port {port}: Address already in use; --host and"
        with pytest.raises(ConfigError, match=words):
            require_address(host, port)
    require_address(host, port)
    require_address("", 0)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("yoloscope.app.commands.serve.dictConfig", lambda _: None)
    with pytest.raises(ConfigError, match=f"expected an address to listen on, got {host} with port 0: "):
        CliRunner().invoke(build(["serve"]), ["serve", "--host", host, "--port", "0"], catch_exceptions=False)


def test_a_connection_that_waits_when_the_service_stops_is_served(settings: Settings) -> None:
    async def scenario() -> bytes:
        app = create_app(settings)
        config = uvicorn.Config(app, port=0, http=protocol_for(app.state.services), ws="none", log_config=None)
        config.load()
        server = Server(config, app.state.services)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        address = server.servers[0].sockets[0].getsockname()
        with socket.create_connection(address, timeout=60) as connection:  # which the loop has not accepted yet
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            app.state.services.draining = True
            await server.shutdown()
            received = connection.recv(65536)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=60)
        return received

    try:
        received = asyncio.run(scenario())
    finally:
        gc.unfreeze()
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in received


def test_the_supervisor_hears_nothing_while_an_image_hangs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "_BEAT_S", 0.01)
    services, beats = create_app(settings).state.services, list[bool]()
    hangs = iter([False, True, True, False, True])
    monkeypatch.setattr(services.inference, "hangs", lambda timeout_s: timeout_s == 60 and next(hangs, False))

    class Channel(Lifeline):
        def beat(self) -> None:
            beats.append(True)

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            Server(uvicorn.Config(create_app(settings)), services)._beat(Channel(theirs, []))
            await asyncio.sleep(0.2)

    asyncio.run(scenario())
    assert 3 <= len(beats) <= 18
    assert caplog.text.count("an image is in the network for over 60 s") == 2


def test_a_service_starts_where_nothing_can_be_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk below its log."""

    def ensure(_: Settings, say: Callable[[str], None]) -> Path:
        say("converting ...")
        return Path("a.onnx")

    monkeypatch.setattr(common, "ensure_model", ensure)
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - closing it fails
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", full)
        _say_where("http://127.0.0.1:8000", "model builtin")
        assert common.reach_model(settings) == Path("a.onnx")
    with suppress(OSError):
        full.close()
