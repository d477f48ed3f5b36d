"""Limits on bodies and on work at once."""

import asyncio
import base64
import itertools
import weakref
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.app.client import Client
from tests.helpers.images import encoded
from yoloscope.app.main import create_app
from yoloscope.app.services.state import Services
from yoloscope.app.settings import Settings
from yoloscope.models.images import DecodedImage, decode_image


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("kind", ["application/json", "image/png", "multipart/form-data; boundary=a", "text/plain"])
def test_an_announced_body_over_the_limit_is_refused_before_it_is_read(client: Client, kind: str) -> None:
    read: list[bytes] = []

    async def watched() -> AsyncIterator[bytes]:
        read.append(b"x")
        yield b"x"

    headers = {"content-type": kind, "content-length": "1000001"}
    assert client.post("/v1/detect", content=watched(), headers=headers).status_code == 413
    assert not read


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("application/json", b'{"image": "'),
        ("image/png", b""),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n',
        ),
    ],
)
def test_a_streamed_body_over_the_limit_is_refused_while_it_arrives(client: Client, kind: str, head: bytes) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield head
        while True:
            sent += 10_000
            yield b"A" * 10_000

    response = client.post("/v1/detect", content=endless(), headers={"content-type": kind})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert sent <= 1_010_000


def test_one_image_over_the_limit_is_refused_in_every_kind_of_body(client: Client) -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes(400_000)
    for arguments in (
        {"content": data, "headers": {"content-type": "image/png"}},
        {"files": {"image": ("a", data)}},
        {"json": {"image": base64.b64encode(data).decode()}},
    ):
        response = client.request("POST", "/v1/detect", **arguments)
        assert response.status_code == 413, response.text


def test_more_images_than_allowed_are_refused(client: Client, gray_png: bytes) -> None:
    text = base64.b64encode(gray_png).decode()
    assert client.post("/v1/detect", json={"images": [text] * 5}).status_code == 413
    for count in (5, 50):
        assert client.post("/v1/detect", files=[("image", ("a", gray_png))] * count).status_code == 413
    assert client.post("/v1/detect", files=[("image", ("a", gray_png))] * 4).status_code == 200


def test_many_fields_and_long_fields_are_refused(client: Client, gray_png: bytes) -> None:
    image = {"image": ("a", gray_png)}
    assert client.post("/v1/detect", files=image, data={f"f{i}": "" for i in range(200)}).status_code == 413
    assert client.post("/v1/detect", files=image, data={"model": "x" * 100_000}).status_code == 413


def test_many_small_chunks_are_a_body_like_any_other(client: Client, gray_png: bytes) -> None:
    response = client.post("/v1/detect", content=chunks(gray_png, 1), headers={"content-type": "image/png"})
    assert response.status_code == 200


def test_a_body_that_pauses_too_long_is_given_up(settings: Settings) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.sleep(30)
        yield b""

    with Client(create_app(settings.model_copy(update={"body_timeout_s": 0.05}))) as client:
        response = client.post("/v1/detect", content=stalling(), headers={"content-type": "image/png"})
    assert response.status_code == 408
    assert response.json()["type"].endswith("timeout")


def test_all_bodies_together_are_bounded(settings: Settings) -> None:
    async def two(http: httpx.AsyncClient) -> list[int]:
        both_have_begun = asyncio.Barrier(2)

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(30_000)
            await both_have_begun.wait()
            yield bytes(30_000)
            await asyncio.sleep(0.2)

        headers = {"content-type": "image/png"}
        return [
            r.status_code
            for r in await asyncio.gather(*(http.post("/v1/detect", content=slow(), headers=headers) for _ in range(2)))
        ]

    with Client(create_app(settings.model_copy(update={"max_bytes_at_once": 100_000}))) as client:
        assert sorted(client.runner.run(two(client.http))) == [415, 503]
        assert client.post("/v1/detect", content=bytes(90_000)).status_code == 415


def test_a_full_queue_refuses_and_says_when_to_come_back(settings: Settings, gray_png: bytes) -> None:
    with Client(create_app(settings.model_copy(update={"queue_limit": 3}))) as client:
        services: Services = client.app.state.services
        with services.limiter.hold(2):
            files = [("image", ("a", gray_png))] * 2
            refused = client.post("/v1/detect", files=files)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert client.post("/v1/detect", files=files[:1]).status_code == 200
        with services.limiter.hold(3):
            assert client.post("/v1/detect", content=b"", headers={"content-type": "text/plain"}).status_code == 503
            assert client.get("/health/live").status_code == 200
        assert client.post("/v1/detect", files=files).status_code == 200
        assert services.limiter.held == 0


@pytest.mark.parametrize("route", ["/v1/detect", "/v1/score"])
@pytest.mark.parametrize("kind", ["image/png", "application/json", "multipart/form-data; boundary=a"])
def test_a_client_that_leaves_is_no_fault_of_the_service(client: Client, route: str, kind: str) -> None:
    parts: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": b"--a\r\n", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": route,
        "query_string": b"",
        "headers": [(b"content-type", kind.encode())],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def leave() -> None:
        async def receive() -> MutableMapping[str, Any]:
            return parts.pop(0)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await client.app(scope, receive, send)

    client.runner.run(leave())
    assert sent[0]["status"] < 500


def test_requests_at_once_are_all_answered_or_refused(settings: Settings, gray_png: bytes) -> None:
    async def many(http: httpx.AsyncClient) -> list[int]:
        one: dict[str, Any] = {"content": gray_png, "headers": {"content-type": "image/png"}}
        responses = await asyncio.gather(*(http.post("/v1/detect", **one) for _ in range(40)))
        return [response.status_code for response in responses]

    with Client(create_app(settings.model_copy(update={"queue_limit": 4}))) as client:
        statuses = client.runner.run(many(client.http))
        held = client.app.state.services.limiter.held
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 4
    assert held == 0


def test_a_body_that_drips_for_too_long_is_given_up(settings: Settings) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    with Client(create_app(settings.model_copy(update={"upload_timeout_s": 0.2}))) as client:
        response = client.post("/v1/detect", content=dripping(), headers={"content-type": "image/png"})
    assert response.status_code == 408
    assert response.json()["detail"].startswith("expected the whole body within 0.2 s, got ")


def test_an_answer_over_the_limit_is_refused_in_words(settings: Settings, gray_png: bytes) -> None:
    with Client(create_app(settings.model_copy(update={"max_answer_bytes": 500}))) as client:
        small = client.post("/v1/detect?max_detections=1", content=gray_png)
        assert small.status_code == 200
        assert len(small.content) <= 500
        response = client.post("/v1/detect", files=[("image", ("a", gray_png))] * 4)
        assert response.status_code == 413
        assert "an answer of" not in response.json()["detail"]
        assert "at most 500 bytes" in response.json()["detail"]
        assert client.get("/health/live").status_code == 200


def test_bodies_and_answers_together_are_bounded(settings: Settings, gray_png: bytes) -> None:
    async def beside_an_upload(http: httpx.AsyncClient) -> httpx.Response:
        answered = asyncio.Event()

        async def upload() -> AsyncIterator[bytes]:
            yield bytes(30_000)
            await answered.wait()

        slow = asyncio.create_task(http.post("/v1/detect", content=upload()))
        await asyncio.sleep(0.1)
        response = await http.post("/v1/detect", content=gray_png)
        answered.set()
        await slow
        return response

    with Client(create_app(settings.model_copy(update={"max_bytes_at_once": 30_400}))) as client:
        assert len(client.post("/v1/detect", content=gray_png).content) > 400
        refused = client.runner.run(beside_an_upload(client.http))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "expected at most 30400 bytes of answers at once, got more; retry"
        assert client.post("/v1/detect", content=gray_png).status_code == 200


def test_large_images_are_drawn_one_at_a_time_and_not_kept_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six images of 4.4 MP that are drawn at once; each would hold 13 MB from its detection to its answer."""
    alive, most = Counter[str](), 0

    def decode(*arguments: Any) -> DecodedImage:
        nonlocal most
        image = decode_image(*arguments)
        alive["image"] += 1
        weakref.finalize(image, alive.subtract, ["image"])
        most = max(most, alive["image"])
        return image

    async def many(http: httpx.AsyncClient) -> list[int]:
        flat = encoded(Image.new("L", (2100, 2100)))
        answers = [http.post("/v1/detect", content=flat, headers={"accept": "image/jpeg"}) for _ in range(6)]
        return [answer.status_code for answer in await asyncio.gather(*answers)]

    monkeypatch.setattr("yoloscope.app.routers.detect.decode_image", decode)
    limits = {"max_pixels": 5_000_000, "max_side": 3000, "threads": 3}
    with Client(create_app(settings.model_copy(update=limits))) as client:
        assert client.runner.run(many(client.http)) == [200] * 6
    assert most == 1


def test_a_png_that_takes_too_long_is_refused_with_the_way_out(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = encoded(Image.effect_noise((300, 300), 100))
    seconds = itertools.count(0, 0.5)
    monkeypatch.setattr("yoloscope.app.responses.drawing.thread_time", lambda: next(seconds))
    refused, drawn = (
        client.post("/v1/detect", content=noise, headers={"accept": kind}) for kind in ("image/png", "image/jpeg")
    )
    assert refused.status_code == 413
    assert "encoded as PNG within 0.8 s, got one that takes longer: ask for image/jpeg" in refused.json()["detail"]
    assert drawn.status_code == 200


def test_large_answers_arrive_whole(settings: Settings) -> None:
    noise = encoded(Image.effect_noise((700, 700), 100).convert("RGB"))
    with Client(
        create_app(settings.model_copy(update={"max_bytes": 2_000_000, "max_body_bytes": 2_000_000}))
    ) as client:
        response = client.post("/v1/detect", content=noise, headers={"accept": "image/png"})
    assert len(response.content) == int(response.headers["content-length"]) > 300_000
    assert Image.open(BytesIO(response.content)).size == (700, 700)
