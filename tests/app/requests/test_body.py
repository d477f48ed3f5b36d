"""Multipart bodies that are cut off, large, or at the edge of their syntax."""

import tempfile

import pytest
from PIL import Image

from tests.app.client import Client
from tests.helpers.images import encoded
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

KIND = {"content-type": "multipart/form-data; boundary=a"}


def part(name: str, content: bytes, filename: str = "") -> bytes:
    ending = f'; filename="{filename}"' if filename else ""
    head = f'--a\r\nContent-Disposition: form-data; name="{name}"{ending}\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.mark.parametrize("route", ["/v1/detect", "/v1/score"])
@pytest.mark.parametrize("missing", [3, 6, 20])
def test_a_body_that_is_cut_off_is_refused_whole(client: Client, grey_png: bytes, route: str, missing: int) -> None:
    body = part("image", grey_png, "whole.png") + part("image", grey_png, "cut.png") + b"--a--\r\n"
    response = client.post(route, content=body[:-missing], headers=KIND)
    assert response.status_code == 400
    assert "closing boundary is missing" in response.json()["detail"]


@pytest.mark.parametrize("end", [b"--a--", b"--a--\r\n", b"--a--\r\nan epilogue\r\n"])
def test_what_follows_the_closing_boundary_does_not_matter(client: Client, grey_png: bytes, end: bytes) -> None:
    response = client.post("/v1/detect", content=part("image", grey_png, "x.png") + end, headers=KIND)
    assert response.status_code == 200


def test_large_files_need_no_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    large = encoded(Image.new("RGB", (900, 900)), "BMP")
    assert len(large) > 2_000_000
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with Client(create_app(settings.model_copy(update={"max_bytes": 3_000_000, "max_body_bytes": 4_000_000}))) as room:
        assert room.post("/v1/detect", files={"image": ("large.bmp", large)}).status_code == 200
