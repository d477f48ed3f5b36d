"""The Label Studio ML backend against a Label Studio that serves images and takes predictions, in this process.

Answers are also judged by label-studio-sdk where it is installed.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.routers import label_studio as routes
from yoloscope.app.services.label_studio import LabelStudio
from yoloscope.app.settings import Settings
from yoloscope.training.diagnostics.exchange.label_studio import LabelingConfig, region

URL = "http://label-studio:8080"
CONFIG = LabelingConfig("boxes", "photo", "picture", ("CAT", "dog", "fox"))
SIZE = (64, 48)
CAT = (8.0, 12.0, 40.0, 36.0)
"""The first detection of the tiny model in an image of brightness .2, of score .6."""


class FakeLabelStudio:
    """Serves one image under /data, takes predictions, exchanges tokens; remembers what it was asked."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.asked: list[tuple[str, str, str]] = []
        self.predictions: list[dict[str, Any]] = []
        self.delay_s = 0.0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, str(request.url), request.headers.get("authorization", "")))
        await asyncio.sleep(self.delay_s)
        if request.url.path == "/api/token/refresh":
            assert json.loads(request.content) == {"refresh": "a.b.c"}
            return httpx.Response(200, json={"access": "short"})
        if request.url.path.startswith("/api/predictions/"):
            return self._predictions(request)
        if request.url.path == "/data/huge.png":
            return httpx.Response(200, content=bytes(500_000))
        if request.url.path == "/data/moved.png":
            return httpx.Response(302, headers={"location": f"{URL}/data/a.png"})
        return httpx.Response(200, content=self.image) if request.url.path == "/data/a.png" else httpx.Response(404)

    def _predictions(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.predictions.append({"id": len(self.asked), **json.loads(request.content)})
            return httpx.Response(201, json={})
        if request.method == "GET":
            task = int(request.url.params["task"])
            return httpx.Response(200, json=[one for one in self.predictions if one["task"] == task])
        number = int(request.url.path.split("/")[3])
        self.predictions = [one for one in self.predictions if one["id"] != number]
        return httpx.Response(204)


@pytest.fixture
def fake(gray_png: bytes) -> FakeLabelStudio:
    return FakeLabelStudio(gray_png)


Connect = Callable[[str], Client]


@pytest.fixture
def connect(settings: Settings, fake: FakeLabelStudio) -> Iterator[Connect]:
    """Start a service that is connected to the fake with a token."""
    running: list[Client] = []

    def start(token: str) -> Client:
        app = create_app(settings.model_copy(update={"label_studio_url": URL, "label_studio_token": token}))
        transport = httpx.MockTransport(fake.answer)
        app.state.label_studio = LabelStudio(URL, token, max_bytes=settings.max_bytes, transport=transport)
        running.append(Client(app).__enter__())
        return running[-1]

    yield start
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect("")


def predict(client: Client, *addresses: object, config: str = "") -> httpx.Response:
    tasks = [{"id": 7, "data": {"picture": address}, "is_labeled": False} for address in addresses]
    body = {"tasks": tasks, "label_config": config or CONFIG.to_xml(), "project": "1.16", "params": {"context": None}}
    return client.post("/label-studio/predict", json=body)


def event(result: list[dict[str, Any]], action: str = "ANNOTATION_CREATED", **changes: Any) -> dict[str, Any]:
    return {
        "action": action,
        "project": {"id": 1, "title": "pets", "label_config": CONFIG.to_xml()},
        "task": {"id": 7, "data": {"picture": "/data/a.png"}},
        "annotation": {"id": 3, "result": result, "completed_by": 1},
    } | changes


def cat(name: str = "CAT", box: tuple[float, float, float, float] = CAT) -> dict[str, Any]:
    return region("r1", name, box, SIZE, CONFIG)


def problem(answer: httpx.Response, status: int) -> tuple[str, list[str]]:
    assert answer.status_code == status, answer.text
    document = answer.json()
    return document["detail"], [fault["pointer"] for fault in document.get("errors", [])]


class TestConnection:
    def test_it_is_off_without_an_address(self, settings: Settings) -> None:
        with Client(create_app(settings)) as plain:
            assert plain.get("/label-studio/health").status_code == 404

    def test_health_and_setup(self, client: Client) -> None:
        assert client.get("/label-studio/health").json() == {"status": "UP", "model_class": "Yoloscope"}
        body = {"project": "1.16", "schema": CONFIG.to_xml(), "hostname": URL, "access_token": "x"}
        version = client.post("/label-studio/setup", json=body).json()["model_version"]
        assert version.startswith("tiny ")
        assert len(version) == len("tiny ") + 12

    def test_its_requests_are_counted_by_their_path(self, client: Client) -> None:
        client.get("/label-studio/health")
        assert '"/label-studio/health"' in client.get("/metrics").text

    def test_a_project_without_rectangles_is_refused(self, client: Client) -> None:
        detail, _ = problem(client.post("/label-studio/setup", json={"schema": "<View/>"}), 422)
        assert detail.startswith("expected a labeling configuration with RectangleLabels on an Image")


class TestPredict:
    def test_detections_are_regions_under_the_labels_of_the_project(self, client: Client) -> None:
        answer = predict(client, "/data/a.png").json()
        (found,) = answer["results"]
        assert [entry["value"]["rectanglelabels"] for entry in found["result"]] == [["CAT"], ["dog"], ["CAT"]]
        first = found["result"][0]
        assert (first["from_name"], first["to_name"], first["type"]) == ("boxes", "photo", "rectanglelabels")
        assert [first["value"][key] for key in ("x", "y", "width", "height")] == pytest.approx([12.5, 25, 50, 50])
        assert [entry["score"] for entry in found["result"]] == pytest.approx([0.6, 0.5, 0.375])
        assert found["score"] == pytest.approx((0.6 + 0.5 + 0.375) / 3)
        assert answer["model_version"] == found["model_version"]
        if importlib.util.find_spec("label_studio_sdk") is not None:
            interface = importlib.import_module("label_studio_sdk.label_interface").LabelInterface(CONFIG.to_xml())
            assert interface.validate_prediction(found)

    def test_classes_that_the_project_lacks_are_left_out(self, client: Client) -> None:
        config = LabelingConfig("boxes", "photo", "picture", ("dog",)).to_xml()
        (found,) = predict(client, "/data/a.png", config=config).json()["results"]
        assert [entry["value"]["rectanglelabels"] for entry in found["result"]] == [["dog"]]

    def test_images_come_from_label_studio_or_a_data_uri(self, client: Client, fake: FakeLabelStudio) -> None:
        inline = f"data:image/png;base64,{base64.b64encode(fake.image).decode()}"
        answer = predict(client, "/data/a.png", f"{URL}/data/a.png", inline, "/data/moved.png").json()
        assert [len(found["result"]) for found in answer["results"]] == [3, 3, 3, 3]
        assert {url for _, url, _ in fake.asked} == {f"{URL}/data/a.png", f"{URL}/data/moved.png"}

    @pytest.mark.parametrize(
        "address",
        [
            "http://169.254.169.254/latest/meta-data",
            "http://label-studio:8081/data/a.png",
            "https://label-studio:8080/data/a.png",
            "http://u:p@label-studio:8080/data/a.png",
            "http://label-studio:8080@evil/data/a.png",
            "//evil/a.png/../..",
            "file:///etc/passwd",
            "s3://bucket/a.png",
            "http://[",
        ],
    )
    def test_nothing_is_fetched_from_elsewhere(self, client: Client, fake: FakeLabelStudio, address: str) -> None:
        answer = predict(client, address)
        assert answer.status_code == 422
        assert all(url.startswith(f"{URL}/") for _, url, _ in fake.asked)

    @pytest.mark.parametrize(
        ("address", "status", "detail"),
        [
            ("/data/none.png", 422, "got status 404"),
            ("/data/huge.png", 413, "expected an image of at most 400000 bytes, got more"),
            (None, 422, "expected the address of an image, got 'None'"),
            ("data:image/png;base64,&", 422, "expected base64 in a data URI"),
            ("data:image/png,x", 422, "expected a data URI in base64"),
        ],
    )
    def test_an_image_that_there_is_not_is_named(
        self, client: Client, address: object, status: int, detail: str
    ) -> None:
        said, pointers = problem(predict(client, "/data/a.png", address), status)
        assert detail in said
        assert pointers == ["/tasks/1/data/picture"]

    def test_too_many_tasks_are_refused(self, client: Client) -> None:
        said, pointers = problem(predict(client, *["/data/a.png"] * 5), 422)
        assert (said, pointers) == ("expected at most 4 tasks, got 5", ["/tasks"])


class TestTokens:
    def test_a_legacy_token_is_sent(self, connect: Connect, fake: FakeLabelStudio) -> None:
        predict(connect("abc"), "/data/a.png")
        assert fake.asked == [("GET", f"{URL}/data/a.png", "Token abc")]

    def test_a_personal_token_is_exchanged_once(self, connect: Connect, fake: FakeLabelStudio) -> None:
        predict(connect("a.b.c"), "/data/a.png", "/data/a.png")
        assert fake.asked == [
            ("POST", f"{URL}/api/token/refresh", ""),
            ("GET", f"{URL}/data/a.png", "Bearer short"),
            ("GET", f"{URL}/data/a.png", "Bearer short"),
        ]


class TestWebhook:
    def test_a_submitted_annotation_is_scored(self, client: Client, gray_png: bytes) -> None:
        answer = client.post("/label-studio/webhook", json=event([cat(), cat("fox", (1, 1, 9, 9))]))
        assert answer.status_code == 201
        review = answer.json()["review"]
        labels = {"objects": [{"class_name": "cat", "box": dict(zip(("x1", "y1", "x2", "y2"), CAT, strict=True))}]}
        files = {"image": ("a.png", gray_png), "labels": ("a.json", json.dumps(labels))}
        (scored,) = client.post("/v1/score", files=files).json()["results"]
        assert (review["annotation"], review["objects"], review["unknown_classes"]) == (3, 1, ["fox"])
        assert review["loss"] == pytest.approx(scored["total"], rel=1e-6)
        assert len(review["unexplained"]) == len(scored["unexplained"])

    def test_the_review_is_written_to_the_task(self, connect: Connect, fake: FakeLabelStudio) -> None:
        twice = [cat(), cat()]
        review = connect("abc").post("/label-studio/webhook", json=event(twice)).json()["review"]
        assert review["flagged"] == ["cat, label 0: shared", "cat, label 1: identical, shared"]
        (written,) = fake.predictions
        assert written["task"] == 7
        assert written["score"] == pytest.approx(review["loss"])
        assert written["model_version"].startswith("review by tiny ")
        texts = [entry["meta"]["text"][0] for entry in written["result"]]
        assert len(texts) == len(review["unexplained"]) + len(review["flagged"])
        assert any("label 1: " in text and "identical" in text for text in texts)

    def test_a_later_review_takes_the_place_of_the_former_and_of_no_other(
        self, connect: Connect, fake: FakeLabelStudio
    ) -> None:
        fake.predictions = [
            {"id": 900, "task": 7, "model_version": "tiny abc"},
            {"id": 901, "task": 8, "model_version": "review by tiny abc"},
        ]
        client = connect("abc")
        for action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
            answer = client.post("/label-studio/webhook", json=event([cat()], action))
            assert answer.status_code == 201
        assert [one["id"] for one in fake.predictions[:2]] == [900, 901]
        assert [one["task"] for one in fake.predictions[2:]] == [7]

    def test_a_label_studio_that_takes_no_prediction_is_an_error(
        self, connect: Connect, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fake, "_predictions", lambda _request: httpx.Response(401, text="who are you"))
        said, _ = problem(connect("abc").post("/label-studio/webhook", json=event([cat()])), 422)
        assert said == "GET /api/predictions/ of Label Studio: got 401 who are you"
        monkeypatch.setattr(fake, "_predictions", lambda _request: httpx.Response(200, text="<html>"))
        said, _ = problem(connect("abc").post("/label-studio/webhook", json=event([cat()])), 422)
        assert said == "expected JSON of Label Studio at /api/predictions/, got '<html>'"

    def test_a_review_that_takes_long_goes_on_after_the_answer(
        self, connect: Connect, fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(routes, "_PATIENCE_S", 0.01)
        fake.delay_s = 0.1
        client = connect("abc")
        answer = client.post("/label-studio/webhook", json=event([cat()]))
        assert (answer.status_code, answer.json()) == (202, {"status": "pending", "review": None})
        client.runner.run(asyncio.wait_for(_written(fake), 10))

    def test_other_events_are_ignored(self, client: Client, fake: FakeLabelStudio) -> None:
        answer = client.post("/label-studio/webhook", json={"action": "PROJECT_UPDATED", "project": {"id": 1}})
        assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
        assert fake.asked == []

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"task": None}, "/task"),
            ({"annotation": None}, "/annotation"),
            ({"project": {"id": 1}}, "/project/label_config"),
            ({"task": {"id": 7, "data": {}}}, "/task/data/picture"),
            ({"annotation": {"id": 3, "result": [{"from_name": "boxes", "value": 4}]}}, "/result/0/value"),
        ],
    )
    def test_what_is_missing_in_an_event_is_named(
        self, client: Client, changes: dict[str, Any], pointer: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            _, pointers = problem(client.post("/label-studio/webhook", json=event([cat()], **changes)), 422)
        assert pointers == [pointer]

    @pytest.mark.parametrize("body", ["", "[]", "{}", '{"action": 4}', '{"action": "ANNOTATION_CREATED"}'])
    def test_what_is_no_event_is_refused(self, client: Client, body: str) -> None:
        answer = client.post("/label-studio/webhook", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in {400, 422}


async def _written(fake: FakeLabelStudio) -> None:
    while not fake.predictions:
        await asyncio.sleep(0.01)
