"""FastAPI alone: a route whose work goes to the threads that FastAPI has for it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI

from tests.benchmarks.serve.peers.detector import Detector

app = FastAPI()
detector = Detector()


@app.post("/detect")
def detect(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    return detector(image)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
