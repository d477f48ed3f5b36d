"""DeepStack's detection, called as Frigate calls it."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

URL = "/v1/vision/detection"


def test_frigates_call_is_answered_in_deepstacks_shape(client: Client, gray_png: bytes) -> None:
    """Frigate posts the bytes under the name ``image`` and its key, empty by default, as a field.

    The network sees 32x32, the image has 64x48: boxes are twice and one and a half times as large, within the image.
    """
    answer = client.post(URL, data={"api_key": ""}, files={"image": ("image", gray_png)})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["success"], sorted(found)) == (True, ["duration", "predictions", "success"])
    assert found["predictions"] == [
        {"confidence": pytest.approx(0.6), "label": "cat", "x_min": 8, "y_min": 12, "x_max": 40, "y_max": 36},
        {"confidence": 0.5, "label": "dog", "x_min": 0, "y_min": 0, "x_max": 32, "y_max": 24},
    ]
    assert found["duration"] > 0


@pytest.mark.parametrize(
    ("query", "data", "labels"),
    [
        ("", {"min_confidence": "0.3"}, ["cat", "dog", "cat"]),
        ("", {"min_confidence": "0.55"}, ["cat"]),
        ("?classes=dog", {}, ["dog"]),
        ("?classes=cat,dog&model=other", {"min_confidence": "0"}, ["cat", "dog", "cat"]),
    ],
)
def test_confidence_and_classes_choose(
    client: Client, gray_png: bytes, query: str, data: dict[str, str], labels: list[str]
) -> None:
    found = client.post(URL + query, data=data, files={"image": gray_png}).json()["predictions"]
    assert [item["label"] for item in found] == labels
    assert [item["confidence"] for item in found] == sorted((item["confidence"] for item in found), reverse=True)


def test_coordinates_lie_within_the_image(client: Client, gray_png: bytes) -> None:
    """The third candidate ends at 40 of 32 columns."""
    found = client.post(URL, data={"min_confidence": "0.3"}, files={"image": gray_png}).json()["predictions"]
    assert (found[2]["x_min"], found[2]["x_max"]) == (32, 64)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"files": {"image": b"no image"}}, 415, "/image: expected one of JPEG"),
        ({"files": {"picture": b"x"}}, 422, "expected one file part named image"),
        ({"data": {"min_confidence": "2"}, "files": {"image": b"x"}}, 422, "min_confidence"),
        ({"data": {"other": "2"}, "files": {"image": b"x"}}, 422, "expected one of min_confidence, api_key"),
        ({"content": b"x"}, 415, "expected multipart/form-data"),
        ({"content": b"x" * 1_000_001}, 413, "at most 1000000 bytes"),
    ],
)
def test_refusals_have_deepstacks_shape(client: Client, arguments: dict[str, Any], status: int, words: str) -> None:
    answer = client.post(URL, **arguments)
    assert answer.status_code == status
    assert (answer.json()["success"], sorted(answer.json())) == (False, ["duration", "error", "success"])
    assert words in answer.json()["error"]


@pytest.fixture(scope="module")
def keyed(settings: Settings) -> Iterator[Client]:
    digest = sha256(b"mine").hexdigest()
    with Client(create_app(settings.model_copy(update={"api_keys": digest, "max_requests_per_key": 1}))) as client:
        yield client


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        ({"api_key": "mine"}, {}, 200),
        ({}, {"x-api-key": "mine"}, 200),
        ({"api_key": "other"}, {}, 401),
        ({"api_key": ""}, {}, 401),
        ({"api_key": "mine"}, {"x-api-key": "other"}, 401),
    ],
)
def test_the_key_is_a_field_or_a_header(
    keyed: Client, gray_png: bytes, data: dict[str, str], headers: dict[str, str], status: int
) -> None:
    answer = keyed.post(URL, data=data, headers=headers, files={"image": gray_png})
    assert (answer.status_code, answer.json()["success"]) == (status, status == 200)


def test_a_key_in_the_form_counts_towards_its_limit(keyed: Client, gray_png: bytes) -> None:
    with keyed.app.state.api_keys.hold("mine"):
        answer = keyed.post(URL, data={"api_key": "mine"}, files={"image": gray_png})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
