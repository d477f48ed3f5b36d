"""The documents: every page is built, and their Python runs or at least parses."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = ["README.md", "docs/index.md", "docs/losses.md"]
"""Documents whose Python runs from top to bottom as printed."""


def snippets(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def navigation() -> list[str]:
    return [page for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for page in entry.values()]


def test_every_document_is_in_the_navigation() -> None:
    assert sorted(navigation()) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for page in navigation():
        assert (tmp_path / page).with_suffix(".html").is_file()
    described = (tmp_path / "python-api.html").read_text()
    for name in ("load", "Model.detect", "Model.score", "DetectionResult"):
        assert f'id="yoloscope.api.{name}"' in described
    assert 'id="yoloscope.training_api.train"' in described


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_parses(document: Path) -> None:
    for code in snippets(document, "python"):
        ast.parse(code)


@pytest.mark.parametrize("name", RUN)
def test_python_runs_as_printed(name: str) -> None:
    codes = snippets(ROOT / name, "python")
    assert codes
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(codes)], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
