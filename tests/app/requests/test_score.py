"""What POST /v1/score refuses, and how it says so."""

from collections.abc import Iterator
from dataclasses import fields
from io import BytesIO
from typing import Any

import pytest
from httpx import Response
from PIL import Image

from tests.app.client import Client
from tests.app.scoring import LABELS, image, score, score_settings, send, write_models
from tests.training.data.annotations.malformed import malformed_files
from yoloscope.app.main import create_app
from yoloscope.app.schemas.score import ScoreOptions
from yoloscope.app.services.scoring import ScoreQuery


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(create_app(score_settings(write_models(tmp_path_factory.mktemp("score-models"))))) as running:
        yield running


def _problem(response: Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    return problem


def _pointers(response: Response) -> list[str]:
    return [error["pointer"] for error in _problem(response, 422)["errors"]]


def test_every_malformed_label_file_is_refused_with_a_pointer(client: Client) -> None:
    sent = image()
    for index, data in enumerate(malformed_files(seed=11, count=216)):
        problem = _problem(score(client, (sent, data)), 422)
        assert problem["type"] == "urn:yoloscope:problem:labels", (index, data[:200])
        assert problem["errors"], (index, data[:200])
        assert all(error["pointer"].startswith("/labels/0") for error in problem["errors"])


def test_all_faults_of_all_label_files_are_named(client: Client) -> None:
    wrong = b"9 .5 .5 .1 .1\n0 .5 .5 0 .1\n\n0 1.5 .5 .1 .1\n0 .5 .5\n"
    response = score(client, (image(), wrong), (image(), LABELS), (image(), b"hello"))
    assert _pointers(response) == [f"/labels/0/lines/{i}" for i in (0, 1, 3, 4)] + ["/labels/2"]


def test_the_told_format_is_obeyed(client: Client) -> None:
    assert score(client, (image(), LABELS), labels_format="yolo").status_code == 200
    assert _pointers(score(client, (image(), LABELS), labels_format="voc")) == ["/labels/0"]


@pytest.mark.parametrize(
    "labels",
    [
        b"0 .5 .5 .3 .4 .9\r\n1 .2 .2 .1 .15 .8\r\n2 .9 .9 .1 .1 .7\r\n",
        LABELS.decode().encode("utf-16"),
        b"0\t.35 .3 .65 .3 .65 .7 .35 .7\t\n1 .15 .125 .25 .125 .2 .275\n2 .9 .9 .1 .1",
    ],
    ids=["the answer of detect", "UTF-16", "polygons"],
)
def test_labels_as_people_have_them_cost_the_same(client: Client, labels: bytes) -> None:
    expected = score(client, (image(), LABELS)).json()["results"][0]
    response = score(client, (image(), labels))
    assert response.status_code == 200, response.text
    assert response.json()["results"][0]["total"] == pytest.approx(expected["total"], rel=1e-5)


def test_labels_over_the_limit_are_refused(client: Client) -> None:
    assert _pointers(score(client, (image(), b" " * 200_001))) == ["/labels/0"]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        (["image"], "/labels"),
        (["labels"], "/image"),
        (["image", "image", "labels"], "/labels"),
        (["image", "labels", "labels"], "/labels"),
        (["image", "labels", "mask"], "/mask"),
    ],
)
def test_parts_must_come_in_pairs(client: Client, parts: list[str], pointer: str) -> None:
    files = [(name, (name, image() if name == "image" else LABELS)) for name in parts]
    assert _pointers(send(client, files)) == [pointer]


def test_labels_may_come_as_a_text_field(client: Client) -> None:
    response = client.post("/v1/score", files={"image": ("a.png", image())}, data={"labels": LABELS.decode()})
    expected = score(client, (image(), LABELS)).json()["results"]
    assert response.json()["results"] == expected


def test_too_many_images(client: Client) -> None:
    _problem(score(client, *[(image(), LABELS)] * 5), 413)


def test_an_image_that_cannot_be_decoded_is_named(client: Client) -> None:
    response = score(client, (image(), LABELS), (image()[:60], LABELS))
    assert _pointers(response) == ["/images/1"]


@pytest.mark.parametrize(
    ("options", "pointers"),
    [
        ({"detail": "all"}, ["/detail"]),
        ({"labels_format": "csv"}, ["/labels_format"]),
        ({"color": "red"}, ["/color"]),
        ({"preset": ""}, ["/preset"]),
    ],
)
def test_wrong_options_are_named(client: Client, options: dict[str, str], pointers: list[str]) -> None:
    assert _pointers(score(client, (image(), LABELS), **options)) == pointers


def test_an_option_may_come_in_the_query_too_but_not_with_another_value(client: Client) -> None:
    files = {"image": ("a.png", image()), "labels": ("a.txt", LABELS)}
    assert client.post("/v1/score?detail=summary", files=files).json()["results"][0].keys().isdisjoint({"by_object"})
    equal = client.post("/v1/score?detail=summary", files=files, data={"detail": "summary"})
    assert equal.json()["results"][0].keys().isdisjoint({"by_object"})
    response = client.post("/v1/score?detail=summary", files=files, data={"detail": "objects"})
    assert _pointers(response) == ["/detail"]
    assert "got 'summary' in the query and 'objects' in the body" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("preset", ["v5", "v1", "v2-darknet", "article-mse"])
def test_a_preset_that_does_not_exist_or_fit_is_refused(client: Client, preset: str) -> None:
    assert _problem(score(client, (image(), LABELS), preset=preset), 422)["type"].endswith(":preset")


def test_an_unknown_model(client: Client) -> None:
    _problem(score(client, (image(), LABELS), model="nope"), 404)


@pytest.mark.parametrize("kind", ["application/json", "image/png", None])
def test_other_bodies_are_refused(client: Client, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    problem = _problem(client.post("/v1/score", content=b"{}", headers=headers), 415)
    assert "multipart/form-data" in problem["detail"]


def test_maps_are_an_image_on_request(client: Client) -> None:
    response = score(client, (image(), LABELS), accept="image/png")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    with Image.open(BytesIO(response.content)) as page:
        assert page.width > 3 * 360


def test_maps_are_for_one_image(client: Client) -> None:
    _problem(score(client, (image(), LABELS), (image(), LABELS), accept="image/png"), 406)
    _problem(score(client, (image(), LABELS), accept="image/gif"), 406)


def test_an_image_is_sent_or_kept_not_both(client: Client) -> None:
    assert _pointers(score(client, (image(), LABELS), image_id="x")) == ["/image_id"]
    assert _pointers(send(client, [("labels", LABELS), ("labels", LABELS)], image_id="x")) == ["/labels"]
    problem = _problem(send(client, [("labels", LABELS)], image_id="x"), 404)
    assert problem["type"] == "urn:yoloscope:problem:image-not-kept"
    assert problem["errors"][0]["pointer"] == "/image_id"


def test_a_kept_image_has_no_pixels_for_maps(client: Client) -> None:
    (result,) = score(client, (image(), LABELS), keep="true").json()["results"]
    _problem(send(client, [("labels", LABELS)], "image/png", image_id=result["image_id"]), 406)


def test_the_route_is_documented(client: Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/score"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["labels"]
    assert form["properties"].keys() == {"image", "labels"}
    options = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert options == {"model", "preset", "detail", "labels_format", "keep", "image_id"}
    assert operation["responses"]["200"]["content"].keys() == {"application/json", "image/png"}


def test_the_options_of_score_are_those_of_the_service() -> None:
    query = {field.name for field in fields(ScoreQuery)}
    assert set(ScoreOptions.model_fields) == query | {"image_id"}
