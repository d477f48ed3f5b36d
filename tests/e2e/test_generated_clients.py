"""Clients that generators make of the OpenAPI document upload an image, and an image with its labels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Service

IMAGE = ROOT / "docs" / "images" / "blood.jpg"
LABELS = "2 0.5 0.5 0.35 0.44\n"
PYTHON = """
import json, sys
from pathlib import Path
from generated import Client, models
from generated.api.detect import detect
from generated.api.score import score
from generated.types import File

url, image, labels = sys.argv[1:]
client = Client(base_url=url, timeout=60)
file = lambda path: File(payload=open(path, "rb"), file_name=Path(path).name)
found = detect.sync(client=client, body=models.DetectFilesDetectForm(image=[file(image)]), max_detections=300)
scored = score.sync(client=client, body=models.ScoreScoreForm(image=[file(image)], labels=[file(labels)]))
print(json.dumps({"found": found.to_dict(), "scored": scored.to_dict()}))
"""
TYPESCRIPT = """
import { client } from './generated/client.gen';
import { formDataBodySerializer } from './generated/client';
import { detect, score } from './generated/sdk.gen';

declare const require: any, process: any;
const { readFileSync } = require('node:fs');
const [url, image, labels] = process.argv.slice(2);
client.setConfig({ baseUrl: url });
const file = (path: string) => new File([readFileSync(path)], path);
const form: any = { ...formDataBodySerializer, headers: { 'Content-Type': null }, body: { image: [file(image)] } };
Promise.all([
  detect(form),
  score({ body: { image: [file(image)], labels: [file(labels)] } }),
]).then(([found, scored]) =>
  console.log(JSON.stringify({ found: found.data ?? found.error, scored: scored.data ?? scored.error })));
"""


@pytest.fixture
def folder(web_service: Service, tmp_path: Path) -> Path:
    """A folder with the document of the service and a label file."""
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{web_service.url}/openapi.json").content)
    (tmp_path / "labels.txt").write_text(LABELS)
    return tmp_path


def _install(command: list[str], folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"needs a package index: {' '.join(command[-2:])} failed: {run.stderr.strip()[-200:]}")


def _run(command: list[str | Path], folder: Path) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return run.stdout


def _check(answer: dict[str, Any]) -> None:
    detections = answer["found"]["results"][0]["detections"]
    assert [row["class_name"] for row in detections].count("WBC") == 1
    (result,) = answer["scored"]["results"]
    assert result["objects"] == 1
    assert result["total"] == pytest.approx(sum(term["weighted"] for term in result["terms"].values()), rel=1e-5)


def test_openapi_python_client(web_service: Service, folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    _install([str(binaries / "python"), "-m", "pip", "install", "-q", "openapi-python-client==0.29.1"], folder)
    generate = ["generate", "--path", "openapi.json", "--meta", "none", "--output-path", "generated"]
    _run([binaries / "openapi-python-client", *generate], folder)
    (folder / "use.py").write_text(PYTHON)
    _check(json.loads(_run([binaries / "python", "use.py", web_service.url, IMAGE, folder / "labels.txt"], folder)))


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_hey_api_openapi_ts(web_service: Service, folder: Path) -> None:
    (folder / "package.json").write_text("{}")
    _install(["npm", "install", "--silent", "--no-fund", "@hey-api/openapi-ts@0.95.0", "typescript@5.9.3"], folder)
    bins = folder / "node_modules" / ".bin"
    _run([bins / "openapi-ts", "-i", "openapi.json", "-o", "generated", "--client", "@hey-api/client-fetch"], folder)
    (folder / "use.ts").write_text(TYPESCRIPT)
    options = ["--module", "commonjs", "--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--skipLibCheck"]
    _run([bins / "tsc", *options, "--outDir", "js", "use.ts"], folder)
    _check(json.loads(_run(["node", "js/use.js", web_service.url, IMAGE, folder / "labels.txt"], folder)))
