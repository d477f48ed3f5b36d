"""What is compared: servers with their commands and requests, and detection without a server."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.benchmarks.serve.peers.detector import MODEL, THREADS

_PEERS = "tests.benchmarks.serve.peers"
OURS = "yoloscope serve"


@dataclass(frozen=True)
class Body:
    """An encoded image as the body of a request, with its content type."""

    content_type: str
    data: bytes


def raw(image: bytes) -> Body:
    """Return the image as it is."""
    return Body("image/jpeg", image)


def form(image: bytes) -> Body:
    """Return the image as the part ``image`` of a form."""
    boundary = uuid.uuid4().hex
    head = 'Content-Disposition: form-data; name="image"; filename="image.jpg"\r\nContent-Type: image/jpeg'
    data = b"".join((f"--{boundary}\r\n{head}\r\n\r\n".encode(), image, f"\r\n--{boundary}--\r\n".encode()))
    return Body(f"multipart/form-data; boundary={boundary}", data)


@dataclass(frozen=True)
class Server:
    """A server: its command for a port, run by the Python of the peers or ours, and how it takes an image."""

    name: str
    arguments: Callable[[int], list[str]]
    is_peer: bool = True
    path: str = "/detect"
    body: Callable[[bytes], Body] = raw
    variables: Callable[[int], dict[str, str]] = field(default=lambda _port: {})
    prepares: bool = False
    """Whether it swaps to a faster variant of the model, whose answers are others."""

    def command(self, port: int, peers: Path) -> list[str]:
        """Return the words of the command."""
        return [str(peers / "bin" / "python") if self.is_peer else sys.executable, *self.arguments(port)]

    def environment(self, port: int, model: Path, threads: int) -> dict[str, str]:
        """Return the environment: settings of this process are not passed on."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("YOLOSCOPE_", "OMP_"))}
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "1"}
        return {**clean, **quiet, MODEL: str(model), THREADS: str(threads), **self.variables(port)}


def _module(name: str) -> Callable[[int], list[str]]:
    return lambda port: ["-m", f"{_PEERS}.{name}", str(port)]


def _yoloscope(model: Path, threads: int) -> Callable[[int], list[str]]:
    words = ["-m", "yoloscope.app.cli", "serve", "--model", str(model), "--provider", "cpu", "--threads", str(threads)]
    return lambda port: [*words, "--port", str(port)]


def _mosec(workers: int, threads: int) -> Callable[[int], dict[str, str]]:
    settings = {"ADDRESS": "127.0.0.1", "TIMEOUT": "30000"}
    own = {"DETECTOR_WORKERS": str(workers), THREADS: str(threads)}
    return lambda port: {f"MOSEC_{name}": value for name, value in {**settings, "PORT": str(port)}.items()} | own


def servers(model: Path, threads: int, calibration: Path | None = None) -> list[Server]:
    """Return all servers; the network runs in ``threads`` threads in each.

    With images for ``calibration`` the service is there twice, in fp32 and with the variant that it chooses itself.
    """
    ours = Server(OURS, _yoloscope(model, threads), is_peer=False, path="/v1/detect")
    precision = {"YOLOSCOPE_PRECISION": "fp32", "YOLOSCOPE_MODELS_DIR": str(model.parent)}
    automatic = {**precision, "YOLOSCOPE_PRECISION": "auto", "YOLOSCOPE_CALIBRATION_DATA": str(calibration)}
    bento = ["-m", "bentoml", "serve", f"{_PEERS}.bentoml_service:Detection", "--host", "127.0.0.1", "--port"]
    chosen = replace(ours, name=f"{OURS}, auto", variables=lambda _: automatic, prepares=True)
    return [
        replace(ours, variables=lambda _: precision),
        *([chosen] if calibration else []),
        Server("FastAPI", _module("plain_fastapi")),
        Server("LitServe", _module("litserve_api"), body=form),
        Server("Mosec", _module("mosec_server"), variables=_mosec(1, threads)),
        Server(f"Mosec, {threads} workers", _module("mosec_server"), variables=_mosec(threads, 1)),
        Server("BentoML", lambda port: [*bento, str(port)], body=form),
        Server("Ray Serve", _module("ray_serve")),
    ]
