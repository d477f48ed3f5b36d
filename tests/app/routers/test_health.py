"""GET /health/live and /health/ready."""

from fastapi import FastAPI

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings


def test_alive_and_ready(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    ready = client.get("/health/ready").json()
    assert ready == {"status": "ready", "model": "tiny", "version": ready["version"], "provider": "cpu"}


def test_not_ready_before_the_default_model_has_run(settings: Settings) -> None:
    app: FastAPI = create_app(settings)
    client = Client(app)
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["type"].endswith("not-ready")
    assert client.get("/health/live").status_code == 200
    with client:
        assert client.get("/health/ready").status_code == 200


def test_not_ready_while_draining_but_still_serving(settings: Settings, gray_png: bytes) -> None:
    with Client(create_app(settings)) as client:
        client.app.state.services.draining = True
        assert client.get("/health/ready").status_code == 503
        assert client.post("/v1/detect", content=gray_png).status_code == 200
