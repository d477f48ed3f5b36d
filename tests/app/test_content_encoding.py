"""Compressed request bodies."""

import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from PIL import Image

from tests.app.client import Client
from tests.helpers.images import encoded


def encoding(name: str) -> dict[str, str]:
    return {"content-type": "image/png", "content-encoding": name}


def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    async def generate() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return generate()


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_compressed_image_is_answered_as_a_plain_one(
    client: Client, gray_png: bytes, name: str, compress: Callable[[bytes], bytes], size: int
) -> None:
    plain = client.post("/v1/detect", content=gray_png).json()["results"]
    response = client.post("/v1/detect", content=pieces(compress(gray_png), size), headers=encoding(name))
    assert response.json()["results"] == plain


def test_a_large_body_comes_in_many_pieces(client: Client) -> None:
    image = encoded(Image.effect_noise((350, 350), 50).convert("RGB"), "BMP")
    assert 300_000 < len(image) < 400_000
    response = client.post("/v1/detect", content=gzip.compress(image), headers=encoding("gzip"))
    assert response.json()["results"][0]["image"] == {"width": 350, "height": 350}


def test_a_body_that_grows_over_the_limit_is_refused(client: Client) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    response = client.post("/v1/detect", content=bomb, headers=encoding("gzip"))
    assert response.status_code == 413
    response = client.post("/v1/detect", content=bomb, headers={**encoding("gzip"), "content-type": "application/json"})
    assert response.status_code == 413
    assert "at most 1000000 bytes" in response.json()["detail"]


def test_a_body_of_empty_parts_without_end_is_refused(client: Client, gray_png: bytes) -> None:
    """They hold nothing that a limit on bytes would count."""
    few, many = (gzip.compress(b"") * count for count in (50, 5_000))
    whole = gzip.compress(gray_png)
    assert client.post("/v1/detect", content=few + whole, headers=encoding("gzip")).status_code == 200
    response = client.post("/v1/detect", content=many + whole, headers=encoding("gzip"))
    assert (response.status_code, response.json()["type"]) == (400, "urn:yoloscope:problem:malformed")


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, br"])
def test_other_encodings_are_refused_by_name(client: Client, gray_png: bytes, name: str) -> None:
    response = client.post("/v1/detect", content=gray_png, headers=encoding(name))
    assert response.status_code == 415
    assert response.json()["detail"] == f"expected a body in the encoding gzip, deflate or identity, got '{name}'"


def test_bytes_that_cannot_be_decompressed_are_refused(client: Client, gray_png: bytes) -> None:
    response = client.post("/v1/detect", content=gray_png, headers=encoding("gzip"))
    assert (response.status_code, response.json()["type"]) == (400, "urn:yoloscope:problem:malformed")
    cut = client.post("/v1/detect", content=gzip.compress(gray_png)[:-5], headers=encoding("gzip"))
    assert cut.status_code == 400
    assert cut.json()["detail"] == "expected a whole body in the encoding gzip, got a part of one"
