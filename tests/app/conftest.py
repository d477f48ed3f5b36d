"""A service with a tiny model, in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image

from tests.app.artifact import write_tiny_artifact
from tests.app.client import Client
from tests.helpers.images import encoded
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder / "tiny.onnx")
    write_tiny_artifact(folder / "other.onnx")
    (folder / "broken.onnx").write_bytes(b"not onnx at all")
    return folder


@pytest.fixture(scope="session")
def settings(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        models_dir=models_dir,
        audits_dir=tmp_path_factory.mktemp("audits"),
        model="tiny",
        provider="cpu",
        threads=1,
        max_images=4,
        max_bytes=400_000,
        max_body_bytes=1_000_000,
        max_pixels=1_000_000,
        max_side=2000,
    )


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[Client]:
    with Client(app) as running:
        yield running


@pytest.fixture(scope="session")
def gray_png() -> bytes:
    """64x48 of brightness 51/255 = 0.2: the tiny model gives the first candidate 0.6."""
    return encoded(Image.new("RGB", (64, 48), (51, 51, 51)))
