"""LitServe: one worker process behind its own FastAPI."""

import sys
from typing import Any

import litserve
from fastapi import Request

from tests.benchmarks.serve.peers.detector import Detector


class DetectAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 (as LitServe calls it)
        self.detector = Detector()

    def decode_request(self, request: Request) -> bytes:
        """Return the image of a form, which is what LitServe gives for a request of type Request."""
        data: bytes = request["image"].file.read()
        return data

    def predict(self, image: bytes) -> dict[str, Any]:
        return self.detector(image)


if __name__ == "__main__":
    server = litserve.LitServer(DetectAPI(api_path="/detect"), accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
