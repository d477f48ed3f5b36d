"""POST /v1/detect: three kinds of body, options, formats, drawn answers. The numbers follow from the tiny model."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.app.client import Client
from tests.helpers.images import LIMITS, encoded, stored_with_orientation
from yoloscope.app.services.inference import DetectSettings, infer, prepare
from yoloscope.app.services.runtime import Runtime

CAT_BOX = {"x1": 8.0, "y1": 12.0, "x2": 40.0, "y2": 36.0}
"""The first candidate (4, 8, 20, 24) of the 32x32 network, in a 64x48 image."""


def raw(client: Client, data: bytes, query: str = "", **headers: str) -> httpx.Response:
    return client.post(f"/v1/detect{query}", content=data, headers={"content-type": "image/png", **headers})


def detections(response: httpx.Response, index: int = 0) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"][index]["detections"]
    return found


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    return document


def pointers(response: httpx.Response, status: int = 422) -> list[str]:
    return [fault["pointer"] for fault in problem(response, status)["errors"]]


def test_the_answer_is_as_documented(client: Client, gray_png: bytes) -> None:
    document = raw(client, gray_png).json()
    assert list(document) == ["model", "version", "results", "timing_ms"]
    assert document["model"] == "tiny"
    assert len(document["version"]) == 12
    assert list(document["timing_ms"]) == ["decode", "queue", "inference", "finish", "total"]
    (result,) = document["results"]
    assert result["image"] == {"width": 64, "height": 48}
    assert [(d["class_id"], d["class_name"]) for d in result["detections"]] == [(0, "cat"), (1, "dog"), (0, "cat")]
    assert [d["score"] for d in result["detections"]] == pytest.approx([0.6, 0.5, 0.375])
    assert result["detections"][0]["box"] == pytest.approx(CAT_BOX)


def test_boxes_are_not_clipped(client: Client, gray_png: bytes) -> None:
    assert detections(raw(client, gray_png))[2]["box"]["x2"] == pytest.approx(80.0)


def test_the_three_kinds_of_body_agree(client: Client, gray_png: bytes) -> None:
    text = base64.b64encode(gray_png).decode()
    answers = [
        raw(client, gray_png),
        client.post("/v1/detect", content=gray_png, headers={"content-type": "application/octet-stream"}),
        client.post("/v1/detect", content=gray_png),
        client.post("/v1/detect", files={"image": ("a.png", gray_png, "image/png")}),
        client.post("/v1/detect", json={"image": text}),
        client.post("/v1/detect", json={"images": [text]}),
        client.post("/v1/detect", json={"image": "data:image/png;base64," + text}),
        client.post("/v1/detect", json={"image": "DATA:image/png;BASE64," + text}),
        client.post("/v1/detect", json={"image": base64.urlsafe_b64encode(gray_png).decode()}),
        client.post("/v1/detect", json={"image": "\n".join(text[i : i + 76] for i in range(0, len(text), 76))}),
    ]
    assert all(detections(answer) == detections(answers[0]) for answer in answers)


def test_several_images_are_answered_in_order(client: Client, gray_png: bytes) -> None:
    white = encoded(Image.new("RGB", (10, 20), (255, 255, 255)))
    for response in (
        client.post("/v1/detect", files=[("image", ("a", gray_png)), ("image", ("b", white))]),
        client.post("/v1/detect", json={"images": [base64.b64encode(data).decode() for data in (gray_png, white)]}),
    ):
        results = response.json()["results"]
        assert [result["image"]["height"] for result in results] == [48, 20]
        assert [result["detections"][0]["score"] for result in results] == pytest.approx([0.6, 1.0])


def test_a_batch_has_thresholds_per_image(models_dir: Path) -> None:
    runtime = Runtime(models_dir / "tiny.onnx", "cpu", 1)
    images = [encoded(Image.new("L", (8, 8), 51 * brightness)) for brightness in range(5)]
    prepared = [prepare(data, runtime.spec, LIMITS) for data in images]
    thresholds = [0.25, 0.45, 0.4, 0.25, 0.85]
    found = infer(runtime, prepared, [DetectSettings(threshold, 0.45) for threshold in thresholds])
    assert [float(detections.scores[0]) for detections in found] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert [len(detections) for detections in found] == [3, 2, 2, 3, 1]


def test_the_orientation_is_that_of_the_viewer(client: Client) -> None:
    upright = Image.new("RGB", (64, 48), (51, 51, 51))
    expected = detections(raw(client, encoded(upright)))
    for orientation in range(1, 9):
        response = raw(client, stored_with_orientation(upright, orientation, "PNG"))
        assert response.json()["results"][0]["image"] == {"width": 64, "height": 48}
        assert detections(response) == expected


@pytest.mark.parametrize(
    ("threshold", "count"), [(0, 4), (0.125, 3), (0.2, 3), (0.375, 2), (0.55, 1), (0.9, 0), (1, 0)]
)
def test_score_threshold(client: Client, gray_png: bytes, threshold: float, count: int) -> None:
    assert len(detections(raw(client, gray_png, f"?score_threshold={threshold}"))) == count
    form = client.post("/v1/detect", files={"image": ("a", gray_png)}, data={"score_threshold": str(threshold)})
    assert len(detections(form)) == count
    body = {"image": base64.b64encode(gray_png).decode(), "score_threshold": threshold}
    assert len(detections(client.post("/v1/detect", json=body))) == count


def test_max_detections_keeps_the_best_and_says_that_it_cut(client: Client, gray_png: bytes) -> None:
    result = raw(client, gray_png, "?max_detections=2").json()["results"][0]
    assert [d["score"] for d in result["detections"]] == pytest.approx([0.6, 0.5])
    assert result["truncated"] is True
    assert "truncated" not in raw(client, gray_png, "?max_detections=3").json()["results"][0]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("classes=dog", [1]),
        ("classes=0", [0, 0]),
        ("classes=dog,cat", [0, 1, 0]),
        ("classes=dog&classes=0", [0, 1, 0]),
        ("classes=traffic%20light", []),
    ],
)
def test_classes_are_filtered_by_name_or_id(client: Client, gray_png: bytes, query: str, ids: list[int]) -> None:
    assert [d["class_id"] for d in detections(raw(client, gray_png, "?" + query))] == ids


def test_classes_in_json_may_be_numbers(client: Client, gray_png: bytes) -> None:
    body = {"image": base64.b64encode(gray_png).decode(), "classes": [1, "traffic light"]}
    assert [d["class_id"] for d in detections(client.post("/v1/detect", json=body))] == [1]


def test_max_detections_counts_after_the_class_filter(client: Client, gray_png: bytes) -> None:
    assert [d["class_id"] for d in detections(raw(client, gray_png, "?classes=dog&max_detections=1"))] == [1]


def test_unknown_classes_are_named(client: Client, gray_png: bytes) -> None:
    response = raw(client, gray_png, "?classes=dog,zebra,99")
    assert pointers(response) == ["/classes/1"]
    assert "'zebra', '99'" in response.json()["detail"]


def test_coco_format(client: Client, gray_png: bytes) -> None:
    data = [("image", ("a", gray_png))] * 2
    response = client.post("/v1/detect?format=coco", files=data)
    entry = detections(response, 1)[0]
    assert entry == {
        "image_id": 1,
        "category_id": 0,
        "bbox": pytest.approx([8, 12, 32, 24]),
        "score": pytest.approx(0.6),
    }


def test_yolo_format(client: Client, gray_png: bytes) -> None:
    result = raw(client, gray_png, "?format=yolo&score_threshold=.55").json()["results"][0]
    assert result["detections"][0]["box"] == pytest.approx({"cx": 0.375, "cy": 0.5, "w": 0.5, "h": 0.5})
    assert result["labels"] == "0 0.375000 0.500000 0.500000 0.500000 0.600000\n"


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_accept_gives_the_image_with_its_boxes(client: Client, gray_png: bytes, kind: str) -> None:
    response = raw(client, gray_png, accept=f"image/{kind}")
    assert response.headers["content-type"] == f"image/{kind}"
    image = Image.open(BytesIO(response.content))
    assert (image.format, image.size) == (kind.upper(), (64, 48))
    assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 2


def test_a_drawn_answer_is_for_one_image(client: Client, gray_png: bytes) -> None:
    response = client.post("/v1/detect", files=[("image", ("a", gray_png))] * 2, headers={"accept": "image/png"})
    assert "got 2" in problem(response, 406)["detail"]


def test_other_answers_are_not_acceptable(client: Client, gray_png: bytes) -> None:
    problem(raw(client, gray_png, accept="text/html"), 406)


def test_another_model_is_loaded_on_demand(client: Client, gray_png: bytes) -> None:
    assert raw(client, gray_png, "?model=other").json()["model"] == "other"


def test_unknown_and_broken_models(client: Client, gray_png: bytes) -> None:
    for name in ("nope", "../tiny", "/etc/passwd", "tiny.onnx", "a/b", ".hidden", "x\u0000y"):
        response = client.post("/v1/detect", params={"model": name}, content=gray_png)
        assert problem(response, 404)["type"].endswith("model-not-found"), name
    assert raw(client, gray_png, "?model=broken").status_code == 503


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("unknown=1", "/unknown"),
        ("score_threshold=1.5", "/score_threshold"),
        ("score_threshold=-0.1", "/score_threshold"),
        ("score_threshold=nan", "/score_threshold"),
        ("score_threshold=high", "/score_threshold"),
        ("score_threshold=", "/score_threshold"),
        ("iou_threshold=inf", "/iou_threshold"),
        ("max_detections=0", "/max_detections"),
        ("max_detections=1.5", "/max_detections"),
        ("max_detections=99999999999999999999999", "/max_detections"),
        ("format=xml", "/format"),
        ("classes=", "/classes"),
        ("model=", "/model"),
        ("score_threshold=.1&score_threshold=.2", "/score_threshold"),
    ],
)
def test_wrong_options_are_pointed_at(client: Client, gray_png: bytes, query: str, pointer: str) -> None:
    assert any(got.startswith(pointer) for got in pointers(raw(client, gray_png, "?" + query)))
    items = [pair.split("=") for pair in query.split("&")]
    form: dict[str, Any] = {name: [value for other, value in items if other == name] for name, _ in items}
    response = client.post("/v1/detect", files={"image": ("a", gray_png)}, data=form)
    assert any(got.startswith(pointer) for got in pointers(response))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"score_threshold": "0.5"}, "/score_threshold"),
        ({"score_threshold": True}, "/score_threshold"),
        ({"max_detections": 2.5}, "/max_detections"),
        ({"classes": "dog"}, "/classes"),
        ({"classes": []}, "/classes"),
        ({"classes": [1.5]}, "/classes/0"),
        ({"classes": ["dog", -1]}, "/classes/1"),
        ({"format": None}, "/format"),
        ({"extra": 1}, "/extra"),
        ({"images": []}, "/images"),
        ({"image": 5}, "/image"),
        ({"image": "@@@@"}, "/image"),
        ({"image": "abc"}, "/image"),
    ],
)
def test_json_fields_are_strict(client: Client, gray_png: bytes, fields: dict[str, Any], pointer: str) -> None:
    body = {"image": base64.b64encode(gray_png).decode(), **fields}
    assert pointer in pointers(client.post("/v1/detect", json=body))


def test_json_needs_one_source_of_images(client: Client, gray_png: bytes) -> None:
    text = base64.b64encode(gray_png).decode()
    for body in ({}, {"image": text, "images": [text]}, {"image": None}):
        assert "either image or images" in problem(client.post("/v1/detect", json=body), 422)["detail"]


def test_an_option_in_query_and_body_is_refused(client: Client, gray_png: bytes) -> None:
    response = client.post("/v1/detect?format=yolo", files={"image": ("a", gray_png)}, data={"format": "coco"})
    assert pointers(response) == ["/format"]


def test_the_faulty_image_of_several_is_pointed_at(client: Client, gray_png: bytes) -> None:
    files = [("image", ("a", gray_png)), ("image", ("b", gray_png[:70]))]
    assert pointers(client.post("/v1/detect", files=files)) == ["/images/1"]


def test_bodies_of_other_kinds(client: Client, gray_png: bytes) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/xml"):
        response = client.post("/v1/detect", content=gray_png, headers={"content-type": kind})
        assert "curl" in problem(response, 415)["detail"]
    assert problem(raw(client, b"GIF8 but not really"), 415)["type"].endswith("image-type")


def test_bodies_that_cannot_be_parsed(client: Client) -> None:
    for kind, body in (
        ("application/json", b"{"),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"score_threshold": NaN}'),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=a", b"--b\r\n\r\n"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"),
    ):
        response = client.post("/v1/detect", content=body, headers={"content-type": kind})
        assert problem(response, 400)["type"].endswith("malformed")


def test_multipart_needs_a_file_named_image(client: Client, gray_png: bytes) -> None:
    assert pointers(client.post("/v1/detect", files={"picture": ("a", gray_png)})) == ["/picture"]
    assert pointers(client.post("/v1/detect", files={"image": (None, "text")})) == ["/image"]
    assert pointers(client.post("/v1/detect", files={"format": (None, "coco")})) == ["/image"]
