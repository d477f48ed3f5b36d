"""A service that only detects does without PyTorch; the first request for a loss imports it beside the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

BLOOD = ROOT / "docs" / "images" / "blood.jpg"
HEAVY = ("torch", "scipy", "sqlalchemy", "lightning", "onnx")

START = """
import asyncio, json, sys, threading
from pathlib import Path
from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

importers = []


class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            importers.append(threading.current_thread() is threading.main_thread())


sys.meta_path.insert(0, Watch())
folder, blood = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
settings = Settings(models_dir=folder, audits_dir=folder / "audits", model="builtin", provider="cpu")
labels = {"labels": ("a.txt", b"2 .5 .5 .35 .44")}
heads = json.loads(sys.argv[3])


def detect(http):
    return http.post("/v1/detect", content=blood, headers={"content-type": "image/jpeg"})


def score(http):
    return http.post("/v1/score", files={"image": ("a.jpg", blood), **labels})


def losses(http):
    return http.post("/v1/losses", json=heads)


async def answer(*calls):
    return await asyncio.gather(*calls)

"""

LOSSES: dict[str, Any] = {
    "spec": {
        "class_names": ["cat"],
        "input_width": 64,
        "input_height": 64,
        "anchors_px": [[8, 8]],
        "heads": [{"kind": "yolo", "grid_width": 2, "grid_height": 2, "anchor_indices": [0]}],
    },
    "labels": [[{"class_id": 0, "box": {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.2}}]],
    "heads": [[[[[0.0, 0.0], [0.0, 0.0]]] * 6]],
}


def run(code: str, folder: Path) -> Any:
    command = [sys.executable, "-c", START + code, str(folder), str(BLOOD), json.dumps(LOSSES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_service_that_only_detects_imports_no_torch(tmp_path: Path) -> None:
    code = """
with Client(create_app(settings)) as client:
    found = client.runner.run(detect(client.http)).json()["results"][0]["detections"]
    for path in ("/v1/models/builtin", "/v2/models/builtin", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        assert client.get(path).status_code == 200, path
print(json.dumps([len(found), sorted(sys.modules)]))
"""
    found, modules = run(code, tmp_path)
    assert found > 5
    assert not {*HEAVY} & set(modules)


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9"])
def test_label_studio_needs_no_torch_before_a_review(url: str, tmp_path: Path) -> None:
    code = f"""
from yoloscope.app import main
sys.modules.pop("httpx")
main.create_app(settings.model_copy(update={{"label_studio_url": {url!r}}}))
print(json.dumps(["torch" in sys.modules, "httpx" in sys.modules]))
"""
    assert run(code, tmp_path) == [False, bool(url)]


def test_first_losses_at_once_and_among_detections(tmp_path: Path) -> None:
    code = """
with Client(create_app(settings)) as client:
    http = client.http
    calls = [detect(http), score(http), losses(http), score(http), losses(http), *(detect(http) for _ in range(8))]
    first = client.runner.run(answer(*calls))
    again = client.runner.run(answer(score(http), losses(http)))
assert all(reply.status_code == 200 for reply in first + again), [reply.text for reply in first + again]
totals = [reply.json()["results"][0]["total"] for reply in (first[1], first[3], again[0])]
print(json.dumps([totals, [reply.json()["total"] for reply in (first[2], first[4], again[1])], importers]))
"""
    scores, losses, importers = run(code, tmp_path)
    assert scores[0] == scores[1] == scores[2] > 0
    assert losses[0] == losses[1] == losses[2] > 0
    assert importers
    assert not any(importers), "imported by the thread of the event loop"


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", str(BLOOD), "--model", "builtin", "--json"),
        ("models",),
        ("bench", "--help"),
        ("digits", "--help"),
        ("serve", "--help"),
    ],
)
def test_commands_that_compute_no_loss_import_no_torch(arguments: tuple[str, ...]) -> None:
    code = """
import sys
from yoloscope.app.cli import build
build(sys.argv[1:])(sys.argv[1:], standalone_mode=False)
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout
