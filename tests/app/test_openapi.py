"""The published document: complete, stable, and obeyed."""

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from tests.app.client import Client, served
from tests.conftest import ROOT
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

OPERATIONS = {
    ("/health/live", "get"): "getLive",
    ("/health/ready", "get"): "getReady",
    ("/metrics", "get"): "getMetrics",
    ("/v1/models", "get"): "listModels",
    ("/v1/models/{name}", "get"): "getModel",
    ("/v1/detect", "post"): "detect",
    ("/v1/losses", "post"): "losses",
    ("/v1/vision/detection", "post"): "deepstackDetect",
    ("/v2", "get"): "serverMetadata",
    ("/v2/health/live", "get"): "serverLive",
    ("/v2/health/ready", "get"): "serverReady",
    ("/v2/models/stats", "get"): "allStatistics",
    ("/v2/models/{name}", "get"): "modelMetadata",
    ("/v2/models/{name}/versions/{version}", "get"): "modelVersionMetadata",
    ("/v2/models/{name}/config", "get"): "modelConfig",
    ("/v2/models/{name}/stats", "get"): "modelStatistics",
    ("/v2/models/{name}/ready", "get"): "modelReady",
    ("/v2/models/{name}/infer", "post"): "infer",
    ("/v2/models/{name}/versions/{version}/infer", "post"): "inferVersion",
    ("/v2/repository/index", "post"): "repositoryIndex",
    ("/v2/repository/models/{name}/load", "post"): "loadModel",
    ("/v2/repository/models/{name}/unload", "post"): "unloadModel",
}


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    found = {
        (path, method): op["operationId"] for path, item in document["paths"].items() for method, op in item.items()
    }
    assert OPERATIONS.items() <= found.items()


def test_every_operation_is_described_and_tagged(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]


SHAPES = {
    "inference protocol": ("application/json", "ProtocolError"),
    "deepstack": ("application/json", "DeepStackError"),
}
"""Errors of routes that follow a protocol of others, by their tag."""


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    shape = SHAPES.get(operation["tags"][0], ("application/problem+json", "Problem"))
                    ((kind, content),) = response["content"].items()
                    assert (kind, content["schema"]["$ref"].rpartition("/")[2]) == shape
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_detect_documents_its_bodies_and_answers(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/detect"]["post"]
    assert {"multipart/form-data", "application/json", "image/jpeg"} <= set(operation["requestBody"]["content"])
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/jpeg", "image/png"}
    assert {"400", "404", "406", "408", "413", "415", "422", "503"} <= set(operation["responses"])
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"model", "score_threshold", "iou_threshold", "max_detections", "classes", "format"}


def test_the_document_and_its_page_are_served(client: Client) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "Yoloscope"
    assert client.get("/docs").status_code == 200


def test_the_page_names_no_foreign_host_and_all_of_its_files_are_served(client: Client) -> None:
    page = client.get("/docs").text
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)|url: ["']([^"']+)""", page)
    assert [one or other for one, other in addresses] == [
        "docs/swagger-ui.css",
        "docs/favicon-32x32.png",
        "docs/swagger-ui-bundle.js",
        "openapi.json",
    ]
    assert "://" not in page
    kinds = {"swagger-ui.css": "text/css", "favicon-32x32.png": "image/png", "swagger-ui-bundle.js": "text/javascript"}
    for name, kind in kinds.items():
        answer = client.get(f"/docs/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert answer.content == (ROOT / "app" / "swagger" / name).read_bytes()
    assert client.get("/docs/other.js").status_code == 404
    assert client.get("/redoc").status_code == 404


@pytest.mark.parametrize(("operation", "parts"), [("detect", ["image"]), ("score", ["image", "labels"])])
def test_parts_that_are_files_are_described_as_files(
    document: dict[str, Any], operation: str, parts: list[str]
) -> None:
    form = document["paths"][f"/v1/{operation}"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    for part in parts:
        assert form["properties"][part]["items"] == {"type": "string", "format": "binary"}


CONFIG = SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 406, 413, 415, 422]}}}
)
EXCLUDED_CHECKS = [checks.positive_data_acceptance]
"""A generated body is rarely an image, so 415 and 422 are right answers to it whether it fits the schema or not."""
SEARCH = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    """A server in a thread, because schemathesis ends the lifespan of an app after every request."""
    with served(create_app(settings)) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        *((path, method, GenerationMode.POSITIVE) for path, method in sorted(OPERATIONS)),
        ("/v1/detect", "post", GenerationMode.NEGATIVE),
        ("/v1/losses", "post", GenerationMode.NEGATIVE),
        ("/v2/models/{name}/infer", "post", GenerationMode.NEGATIVE),
        ("/v2/repository/index", "post", GenerationMode.NEGATIVE),
        ("/v1/models/{name}", "get", GenerationMode.NEGATIVE),
    ],
)
def test_the_document_is_obeyed(address: str, path: str, method: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=CONFIG)

    @SEARCH
    @hypothesis.given(case=schema[path][method].as_strategy(generation_mode=mode))
    def obeyed(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED_CHECKS)

    obeyed()
