"""yoloscope bench against a service in this process, and against what is none."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from tests.app.client import served
from yoloscope.app.cli import build
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ConfigError, ServiceError

KEY = "secret"


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with served(create_app(settings.model_copy(update={"api_keys": digest}))) as address:
        yield address


def run(*arguments: str) -> str:
    words = ["bench", *arguments]
    result = CliRunner().invoke(build(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_figures_of_a_service(url: str, tmp_path: Path, gray_png: bytes) -> None:
    (tmp_path / "gray.png").write_bytes(gray_png)
    (tmp_path / "broken.png").write_bytes(gray_png[:60])
    given = (f"{url}/", "--api-key", KEY, "--duration", "0.2", "--model", "tiny")
    document = json.loads(run(*given, "--connections", "1,2", "--json", "-i", str(tmp_path / "gray.png")))
    assert (document["url"], document["model"]) == (f"{url}/v1/detect?model=tiny", "tiny")
    assert [(load["connections"], load["rate"]) for load in document["loads"]] == [(1, None), (2, None)]
    for load in document["loads"]:
        assert load["answers"] > 0
        assert load["throughput"] > 0
        assert 0 < load["p50_ms"] <= load["p90_ms"] <= load["p99_ms"]
        assert load["errors"] == {}
    images = ("-i", str(tmp_path / "gray.png"), "-i", str(tmp_path / "broken.png"))
    shown = run(*given, "--rate", "20", *images)
    assert "20 requests/s" in shown
    assert "2 x 422" in shown
    assert "none" in run(*given, "--connections", "1")


def test_a_key_that_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--api-key: expected one that the service knows, got status 401: expected"):
        run(url)


def test_what_is_no_service(url: str, tmp_path: Path) -> None:
    other = FastAPI()
    other.post("/v1/detect")(lambda: {"hello": 1})
    with served(other) as wrong:
        with pytest.raises(ServiceError, match=r"as Yoloscope answers them from .*, got '\{\"hello\":1\}'"):
            run(wrong)
        with pytest.raises(ServiceError, match="got status 404: Not Found"):
            run(f"{wrong}/prefix")
    with pytest.raises(ServiceError, match=r"expected a service at .*, got none: Connect call failed"):
        run(wrong)
    with pytest.raises(ServiceError, match=r"got status 404: expected one of the models"):
        run(url, "--api-key", KEY, "--model", "nope")
    with pytest.raises(ConfigError, match=r"expected the address of a service, as http://.*, got 'localhost:8000'"):
        run("localhost:8000")
    with pytest.raises(ConfigError, match="--connections: expected whole numbers up to"):
        run(url, "--connections", "1.5")
    with pytest.raises(ConfigError, match="--rate: expected one of --connections and --rate, got both"):
        run(url, "--rate", "1", "--connections", "1")
    with pytest.raises(ConfigError, match="--rate: expected positive numbers, as 8 or 1,8,32, got '0'"):
        run(url, "--rate", "0")
    with pytest.raises(FileNotFoundError):
        run(url, "--image", str(tmp_path / "absent.png"))
