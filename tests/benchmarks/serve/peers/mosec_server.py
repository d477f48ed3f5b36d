"""Mosec: its HTTP server in Rust before worker processes, as many as ``DETECTOR_WORKERS`` says."""

from __future__ import annotations

import os
from typing import Any

import mosec

from tests.benchmarks.serve.peers.detector import Detector


class Detection(mosec.Worker):
    def __init__(self) -> None:
        self.detector = Detector()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> dict[str, Any]:
        return self.detector(data)


if __name__ == "__main__":
    server = mosec.Server()
    server.append_worker(Detection, num=int(os.environ["DETECTOR_WORKERS"]), timeout=30, route="/detect")
    server.run()
