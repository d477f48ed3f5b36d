"""``yoloscope bench``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from yoloscope.app.commands.options import progress_bar
from yoloscope.app.load_generator import Load, LoadResult, Target, measure, most_connections, probe
from yoloscope.models.errors import ConfigError, ImageDecodeError, ServiceError
from yoloscope.models.images import SUFFIXES

_CONNECTIONS: Final = "1,8,32"
_DETECT: Final = "/v1/detect"
_GENERATED: Final = (768, 576)
_BUSY_CLIENT: Final = 0.8
_SHOWN_BYTES: Final = 200
_NO_KEY: Final = (401, 403)


def bench(
    url: Annotated[str, typer.Argument(help="Address of the service, as http://127.0.0.1:8000.")],
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", "-i", help="Image file or folder, repeated; sent in turns [default: generated noise]."),
    ] = None,
    connections: Annotated[
        str | None,
        typer.Option(
            help="Closed loop: connections at once, each sends when it is answered; 1,8: in turn [default: 1,8,32]."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="Open loop: requests a second, sent when due; 50,100: in turn. In place of --connections."),
    ] = None,
    duration: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds of each load.")] = 10.0,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to ask for [default: the service's].")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="API key.", envvar="YOLOSCOPE_API_KEY")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a running service under load: answers a second, latency, errors.

    Latency counts from when a request was due, with --rate also if it could not be sent then. Percentiles are those of
    the answers; refusals and failures are counted beside them.
    """
    loads = _loads(connections, rate)
    images = _read(image) if image else [generated_image()]
    headers = {"Content-Type": "application/octet-stream", **({"X-API-Key": api_key} if api_key else {})}
    target = Target(_detect_url(url, model), images, headers, timeout, is_detection)
    served = _check(target)
    results = [_run(target, load, duration) for load in loads]
    if as_json:
        document = {"url": target.url, "model": served, "images": len(images), "loads": [*map(to_document, results)]}
        typer.echo(json.dumps(document, indent=1))
    else:
        _show(results, f"{served} at {url}, {duration:g} s each")
    if not any(result.latencies_s for result in results):
        raise ServiceError(f"expected answers from {target.url}, got none: {results[-1].problems()}")


def is_detection(body: bytes) -> bool:
    """Return whether an answer is that of detection in one image."""
    try:
        return len(json.loads(body)["results"]) == 1
    except (ValueError, TypeError, KeyError):
        return False


def generated_image() -> bytes:
    """Return a JPEG of 768x576 of smooth noise, the same one every time; it has the size of a photo of 160 kB."""
    width, height = _GENERATED
    coarse = np.random.default_rng(0).integers(0, 256, (height // 5, width // 5, 3), np.uint8)
    noise = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    noise.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def to_document(result: LoadResult) -> dict[str, Any]:
    """Return the figures of one load for JSON."""
    times = {f"p{percent}_ms": result.percentile_ms(percent) for percent in (50, 90, 99)}
    return {
        "connections": result.load.connections,
        "rate": result.load.rate,
        "duration_s": result.duration_s,
        "answers": len(result.latencies_s),
        "throughput": round(result.throughput, 2),
        **{name: None if value is None else round(value, 2) for name, value in times.items()},
        "errors": dict(sorted(result.errors.items())),
        "client_cpu": round(result.cpu, 2),
    }


def _loads(connections: str | None, rate: str | None) -> list[Load]:
    if rate is not None:
        if connections is not None:
            raise ConfigError("--rate: expected one of --connections and --rate, got both")
        return [Load(rate=value) for value in _numbers("--rate", rate)]
    connections = connections or _CONNECTIONS
    counts = _numbers("--connections", connections)
    most = most_connections()
    if any(value != int(value) or value > most for value in counts):
        raise ConfigError(f"--connections: expected whole numbers up to {most} (open files), got {connections!r}")
    return [Load(connections=int(value)) for value in counts]


def _numbers(option: str, text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < value < 1e6 for value in values):
        raise ConfigError(f"{option}: expected positive numbers, as 8 or 1,8,32, got {text!r}")
    return values


def _detect_url(url: str, model: str | None) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise ConfigError(f"expected the address of a service, as http://127.0.0.1:8000, got {url!r}")
    query = f"?{urlencode({'model': model})}" if model else ""
    return f"{url.rstrip('/').removesuffix(_DETECT)}{_DETECT}{query}"


def _read(paths: Sequence[Path]) -> list[bytes]:
    """Return the bytes of image files; they are not decoded, so that broken ones can be sent as well."""
    found: list[bytes] = []
    for path in paths:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise ImageDecodeError(f"--image: expected images in the folder {path}, got none")
        found += [file.read_bytes() for file in files]
    return found


def _check(target: Target) -> str:
    """Send the first image and return the name of the model that answers; raises ServiceError or ConfigError."""
    try:
        status, body = asyncio.run(probe(target))
    except TimeoutError as error:
        raise ServiceError(f"expected an answer from {target.url} in {target.timeout_s:g} s, got none") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(f"expected a service at {target.url}, got none: {reason}") from error
    said = _said(body)
    if status in _NO_KEY:
        raise ConfigError(f"--api-key: expected one that the service knows, got status {status}: {said}")
    if status != 200:
        raise ServiceError(f"expected detections of the first image from {target.url}, got status {status}: {said}")
    if not is_detection(body):
        raise ServiceError(f"expected detections as Yoloscope answers them from {target.url}, got {said}")
    return str(json.loads(body).get("model", "?"))


def _said(body: bytes) -> str:
    """Return the detail of a problem document, or the beginning of what else was answered."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return repr(body[:_SHOWN_BYTES].decode(errors="replace"))


def _run(target: Target, load: Load, duration_s: float) -> LoadResult:
    bar = progress_bar(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[answers]} done"), TimeRemainingColumn()
    )
    with bar:
        task = bar.add_task(str(load), total=duration_s, answers=0)
        begun, done = time.perf_counter(), 0

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=min(time.perf_counter() - begun, duration_s), answers=done)

        return asyncio.run(measure(target, load, duration_s, advance))


def _show(results: Sequence[LoadResult], title: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("load")
    for name in ("answers/s", "p50 ms", "p90 ms", "p99 ms"):
        table.add_column(name, justify="right")
    table.add_column("errors")
    for result in results:
        times = (result.percentile_ms(percent) for percent in (50, 90, 99))
        shown = ("-" if value is None else f"{value:.1f}" for value in times)
        table.add_row(str(result.load), f"{result.throughput:.1f}", *shown, result.problems() or "none")
    Console(soft_wrap=True).print(table)
    busy = max(result.cpu for result in results)
    if busy > _BUSY_CLIENT:
        typer.echo(f"the client itself took {busy:.0%} of a core: what was measured is partly the client", err=True)
