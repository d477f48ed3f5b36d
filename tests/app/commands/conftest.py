"""Commands called in this process, with the tiny model."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from yoloscope.app.cli import build

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    for name in list(os.environ):
        if name.startswith("YOLOSCOPE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("YOLOSCOPE_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("YOLOSCOPE_PROVIDER", "cpu")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run() -> Run:
    """Call a command; errors of ours are raised."""

    def call(*arguments: object, stdin: bytes | None = None) -> Result:
        words = list(map(str, arguments))
        return CliRunner().invoke(build(words), words, input=stdin, catch_exceptions=False)

    return call


@pytest.fixture
def image(tmp_path: Path, gray_png: bytes) -> Path:
    path = tmp_path / "gray.png"
    path.write_bytes(gray_png)
    return path
