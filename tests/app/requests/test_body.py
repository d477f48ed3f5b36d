"""Multipart bodies that are cut off, large, or at the edge of their syntax."""

import asyncio
import base64
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from PIL import Image

from tests.app.artifact import tiny_spec, write_tiny_artifact
from tests.app.client import Client
from tests.helpers.images import encoded
from yoloscope.app.main import create_app
from yoloscope.app.requests.body import decode_base64
from yoloscope.app.settings import Settings
from yoloscope.models.errors import RequestError

ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
KIND = {"content-type": "multipart/form-data; boundary=a"}


def part(name: str, content: bytes, filename: str = "") -> bytes:
    ending = f'; filename="{filename}"' if filename else ""
    head = f'--a\r\nContent-Disposition: form-data; name="{name}"{ending}\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.mark.parametrize("route", ["/v1/detect", "/v1/score"])
@pytest.mark.parametrize("missing", [3, 6, 20])
def test_a_body_that_is_cut_off_is_refused_whole(client: Client, gray_png: bytes, route: str, missing: int) -> None:
    body = part("image", gray_png, "whole.png") + part("image", gray_png, "cut.png") + b"--a--\r\n"
    response = client.post(route, content=body[:-missing], headers=KIND)
    assert response.status_code == 400
    assert "closing boundary is missing" in response.json()["detail"]


@pytest.mark.parametrize("end", [b"--a--", b"--a--\r\n", b"--a--\r\nan epilogue\r\n"])
def test_what_follows_the_closing_boundary_does_not_matter(client: Client, gray_png: bytes, end: bytes) -> None:
    response = client.post("/v1/detect", content=part("image", gray_png, "x.png") + end, headers=KIND)
    assert response.status_code == 200


def test_large_files_need_no_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    large = encoded(Image.new("RGB", (900, 900)), "BMP")
    assert len(large) > 2_000_000
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with Client(create_app(settings.model_copy(update={"max_bytes": 3_000_000, "max_body_bytes": 4_000_000}))) as room:
        assert room.post("/v1/detect", files={"image": ("large.bmp", large)}).status_code == 200


def faults(client: Client, **request: Any) -> list[dict[str, str]]:
    response = client.post("/v1/detect", **request)
    assert 400 <= response.status_code < 500, response.text
    found: list[dict[str, str]] = response.json().get("errors", [])
    return found


class TestPartsWithoutFilename:
    def test_an_image_is_a_file_of_any_size(self, client: Client, gray_png: bytes) -> None:
        large = encoded(Image.new("RGB", (200, 200), (51, 51, 51)), "BMP")
        assert len(large) > 64 * 1024
        for data in (gray_png, large):
            response = client.post("/v1/detect", content=part("image", data) + b"--a--", headers=KIND)
            assert response.status_code == 200, response.text
            assert response.json()["results"][0]["detections"][0]["score"] == pytest.approx(0.6)

    def test_the_name_of_a_file_is_no_file(self, client: Client) -> None:
        (fault,) = faults(client, content=part("image", b"street.jpg") + b"--a--", headers=KIND)
        assert fault == {
            "pointer": "/image",
            "detail": "expected a file, got the text 'street.jpg' (curl sends a file with -F image=@file)",
        }

    def test_a_long_text_is_named_with_the_way_out(self, client: Client, gray_png: bytes) -> None:
        body = part("photo", bytes(70_000)) + part("image", gray_png, "a.png") + b"--a--"
        response = client.post("/v1/detect", content=body, headers=KIND)
        assert response.status_code == 413
        assert response.json()["detail"] == (
            "expected at most 65536 bytes of text in the part 'photo', got more; files belong into parts named image"
        )


class TestWords:
    def test_the_pointer_of_an_image_is_the_field_that_it_came_in(self, client: Client, gray_png: bytes) -> None:
        good, bad = (base64.b64encode(data).decode() for data in (gray_png, gray_png[:70]))
        assert [fault["pointer"] for fault in faults(client, json={"image": bad})] == ["/image"]
        assert [fault["pointer"] for fault in faults(client, json={"images": [good, bad]})] == ["/images/1"]
        assert [fault["pointer"] for fault in faults(client, files={"image": ("a", gray_png[:70])})] == ["/image"]
        assert faults(client, content=gray_png[:70]) == []

    def test_unknown_options_are_answered_with_those_that_exist(self, client: Client, gray_png: bytes) -> None:
        expected = (
            "expected one of model, score_threshold, iou_threshold, max_detections, classes, format, got 'threshold'"
        )
        (query,) = client.post("/v1/detect?threshold=.5", content=gray_png).json()["errors"]
        assert query["pointer"] == "/threshold"
        assert expected in query["detail"]
        (form,) = faults(client, files={"image": ("a", gray_png)}, data={"threshold": ".5"})
        assert expected in form["detail"]
        (body,) = faults(client, json={"image": "AAAA", "threshold": 0.5})
        assert "format, image, images, got 'threshold'" in body["detail"]

    @pytest.mark.parametrize(
        ("options", "detail"),
        [
            ({"score_threshold": 1.5}, "Input should be less than or equal to 1, got 1.5"),
            ({"format": "xml"}, "Input should be 'native', 'coco' or 'yolo', got 'xml'"),
            ({"max_detections": "many"}, "Input should be a valid integer, got 'many'"),
        ],
    )
    def test_a_wrong_value_is_shown(self, client: Client, options: dict[str, Any], detail: str) -> None:
        (fault,) = faults(client, json={"image": "AAAA", **options})
        assert fault["detail"] == detail

    def test_long_values_are_shortened(self, client: Client) -> None:
        (fault,) = faults(client, json={"image": "AAAA", "format": "x" * 100_000})
        assert len(fault["detail"]) < 200

    def test_unknown_classes_are_answered_with_those_of_the_model(self, client: Client, gray_png: bytes) -> None:
        (fault,) = faults(client, files={"image": ("a", gray_png)}, data={"classes": "cow"})
        assert fault["detail"] == (
            "expected names or ids (0..2) of the model's classes, got 'cow'; they are cat, dog, traffic light"
        )

    def test_no_answer_holds_a_memory_address(self, client: Client) -> None:
        for data in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM" + bytes(60), b"RIFF1234WEBPVP8 "):
            assert not ADDRESS.search(client.post("/v1/detect", content=data).text)


def test_a_class_with_a_comma_is_asked_for_in_json(settings: Settings, tmp_path: Path, gray_png: bytes) -> None:
    spec = tiny_spec("comma").to_json().replace('"dog"', '"dog, hot"')
    write_tiny_artifact(tmp_path / "comma.onnx", metadata=spec)
    with Client(create_app(settings.model_copy(update={"models_dir": tmp_path, "model": "comma"}))) as client:
        body = {"image": base64.b64encode(gray_png).decode(), "classes": ["dog, hot"]}
        (result,) = client.post("/v1/detect", json=body).json()["results"]
        assert [found["class_name"] for found in result["detections"]] == ["dog, hot"]


def test_total_is_all_that_a_request_took(settings: Settings, gray_png: bytes) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield gray_png[:20]
        await asyncio.sleep(0.3)
        yield gray_png[20:]

    with Client(create_app(settings)) as client:
        before = perf_counter()
        times = client.post("/v1/detect", content=slowly()).json()["timing_ms"]
        passed_ms = (perf_counter() - before) * 1e3
    total = times.pop("total")
    assert 300 <= total <= passed_ms
    assert sum(times.values()) <= total


@pytest.mark.parametrize("text", ["+/8=", "-_8=", "-_8", "+/\n8=", "DATA:;base64,-_8", "data:image/png;base64,+/8="])
def test_base64_of_both_alphabets(text: str) -> None:
    """The digits 62, 63 and 60 are the bits 111110 111111 1111(00)."""
    assert decode_base64(text, "/image") == b"\xfb\xff"


@pytest.mark.parametrize("text", ["+/8$", "A", "+/8", "Ä///"])
def test_what_is_no_base64_is_refused_with_its_pointer(text: str) -> None:
    with pytest.raises(RequestError, match="expected base64") as caught:
        decode_base64(text, "/image")
    assert caught.value.pointer == "/image"
