"""Traces of the running service, as a collector of OpenTelemetry gets them."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import start_service

Posts = dict[str, list[bytes]]


@pytest.fixture
def collector() -> Iterator[tuple[str, Posts]]:
    """The address of a server that takes what is posted, and what it took by path."""
    posts: Posts = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.setdefault(self.path, []).append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posts
    server.shutdown()
    server.server_close()


def test_requests_become_spans_where_a_collector_is_named(collector: tuple[str, Posts], tmp_path: Path) -> None:
    """What is left is sent when the service stops."""
    address, posts = collector
    service = start_service(
        YOLOSCOPE_MODEL="builtin",
        YOLOSCOPE_MODELS_DIR=str(tmp_path),
        FASTAPI_OTEL_AUTO_CONFIGURE="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=address,
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
    )
    try:
        assert httpx.get(f"{service.url}/v1/models/builtin").status_code == 200
    finally:
        assert service.stop() == 0
    spans = {
        span.name
        for body in posts["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert "GET /v1/models/{name}" in spans
