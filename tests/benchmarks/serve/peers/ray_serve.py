"""Ray Serve: one replica that takes requests as they are, on a cluster of this machine alone."""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from tests.benchmarks.serve.peers.detector import Detector


class Detection:
    def __init__(self) -> None:
        self.detector = Detector()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.detector(await request.body())


if __name__ == "__main__":
    ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(serve.deployment(Detection, max_ongoing_requests=64).bind(), route_prefix="/detect", blocking=True)
