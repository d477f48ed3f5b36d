"""BentoML: a service with one worker; ``bentoml serve`` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from tests.benchmarks.serve.peers.detector import Detector


@bentoml.service(workers=1, traffic={"timeout": 60})
class Detection:
    def __init__(self) -> None:
        self.detector = Detector()

    @bentoml.api
    def detect(self, image: Path) -> dict[str, Any]:
        return self.detector(image.read_bytes())
