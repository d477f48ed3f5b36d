"""The parts of the OpenAPI document that FastAPI cannot derive, because bodies come in several kinds."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from yoloscope.app.schemas.deepstack import DeepStackError
from yoloscope.app.schemas.detect import DetectBody
from yoloscope.app.schemas.inference_protocol import ControlRequest, IndexRequest, InferRequest, ProtocolError
from yoloscope.app.schemas.losses import LossesBody, LossesRequest
from yoloscope.app.schemas.problem import Problem

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
BINARY: Final = {"type": "string", "format": "binary"}
"""A file; Swagger UI and generators of clients know uploads by this format, not by ``contentMediaType``."""
_COMPONENTS: Final = "#/components/schemas/"
_RAW_KINDS: Final = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/gif",
    "application/octet-stream",
)


LOSSES_EXAMPLES: Final[dict[str, Any]] = {
    "v4": {
        "summary": "One object on a grid of 2x2 cells, YOLOv4",
        "value": {
            "spec": {
                "class_names": ["cat"],
                "input_width": 64,
                "input_height": 64,
                "anchors_px": [[24, 32]],
                "heads": [{"kind": "yolo", "grid_width": 2, "grid_height": 2, "anchor_indices": [0]}],
            },
            "heads": [
                [
                    [
                        [[0.1, 0], [0, 0]],
                        [[0, 0.2], [0, 0]],
                        [[0, 0], [0, 0]],
                        [[0, 0], [0, 0]],
                        [[2, -3], [-3, -3]],
                        [[1, 0], [0, 0]],
                    ]
                ]
            ],
            "labels": [[{"class_name": "cat", "box": {"cx": 0.25, "cy": 0.3, "w": 0.4, "h": 0.5}}]],
            "preset": "v4",
        },
    },
    "article": {
        "summary": "The preset article-mse on a grid of 2x2 cells",
        "value": {
            "spec": {
                "class_names": ["cat", "dog"],
                "input_width": 64,
                "input_height": 64,
                "heads": [{"kind": "detection", "grid_width": 2, "grid_height": 2, "boxes_per_cell": 1}],
            },
            "heads": [[[0.7, 0.3, *[0] * 6, 0.8, 0, 0, 0.3, 0.6, 0.5, 0.5, 0.6, *[0] * 12]]],
            "labels": [[{"class_id": 0, "box": {"cx": 0.25, "cy": 0.25, "w": 0.2, "h": 0.3}}]],
            "preset": "article-mse",
        },
    },
}
"""Bodies that can be sent as they stand; the second gives the numbers of ``yoloscope explain article``."""


def form_schema(title: str, files: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a multipart form whose parts are files, by name with their description.

    The options are described once, as query parameters: Swagger UI fills every form field with a sample and sends it.
    """
    parts = {
        name: {"type": "array", "items": BINARY, "minItems": 1, "description": text} for name, text in files.items()
    }
    text = "Files; the options of the query are taken as text fields too."
    return {"title": title, "description": text, "type": "object", "properties": parts, "required": list(files)}


def query_parameters(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the ``parameters`` of an operation whose options, the fields of a schema, may stand in the query."""
    properties = schema.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": found,
                **({"description": found["description"]} if "description" in found else {}),
            }
            for name, found in properties.items()
        ]
    }


def detect_body() -> dict[str, Any]:
    """Return the ``requestBody`` of a detection: multipart, JSON and raw images."""
    json_schema = DetectBody.model_json_schema()
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": form_schema("DetectForm", {"image": "One image or more."})},
        "application/json": {
            "schema": json_schema,
            "examples": {"one": {"summary": "One image", "value": {"image": "<base64>", "score_threshold": 0.4}}},
        },
        **{kind: {"schema": BINARY} for kind in _RAW_KINDS},
    }
    return {"requestBody": {"required": True, "content": content}}


def losses_body() -> dict[str, Any]:
    """Return the ``requestBody`` of a loss: JSON, or a form with the heads as npz."""
    form = {
        "title": "LossesForm",
        "type": "object",
        "properties": {
            "heads": {**BINARY, "description": "An npz file of the float arrays head_0, head_1, ... of the spec."},
            "request": {"$ref": f"{_COMPONENTS}LossesRequest"},
        },
        "required": ["heads", "request"],
    }
    content = {
        "application/json": {"schema": {"$ref": f"{_COMPONENTS}LossesBody"}, "examples": LOSSES_EXAMPLES},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}


def infer_body() -> dict[str, Any]:
    """Return the ``requestBody`` of an inference: JSON, alone or with the bytes of tensors behind it."""
    header = {
        "name": HEADER_LENGTH,
        "in": "header",
        "required": False,
        "description": "How many bytes of the body are JSON; those of tensors follow. 0: the body is one image.",
        "schema": {"type": "integer", "minimum": 0},
    }
    body = json_body("InferRequest")
    body["requestBody"]["content"]["application/octet-stream"] = {"schema": BINARY}
    return {**body, "parameters": [header]}


def json_body(schema: str) -> dict[str, Any]:
    """Return the ``requestBody`` of a JSON document that the handler reads itself."""
    return {"requestBody": {"content": {"application/json": {"schema": {"$ref": _COMPONENTS + schema}}}}}


_BODIES: Final = (LossesBody, LossesRequest, InferRequest, IndexRequest, ControlRequest)


def _without_unprocessable(document: dict[str, Any]) -> None:
    """Remove the status 422, which FastAPI adds to parameters: below /v2 it is 400."""
    for path, item in document["paths"].items():
        if path.startswith("/v2"):
            for operation in item.values():
                operation["responses"].pop("422", None)
    document["components"]["schemas"].pop("HTTPValidationError", None)
    document["components"]["schemas"].pop("ValidationError", None)


_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def install(app: FastAPI) -> None:
    """Add the schemas of problems, which all routes refer to, and of requests for losses to the document of ``app``."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = derive()
            _, added = models_json_schema(
                [
                    (Problem, "serialization"),
                    (ProtocolError, "serialization"),
                    (DeepStackError, "serialization"),
                    *((body, "validation") for body in _BODIES),
                ],
                ref_template=f"{_COMPONENTS}{{model}}",
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(added["$defs"])
            _without_unprocessable(document)
            if app.state.api_keys is not None:
                document["components"]["securitySchemes"] = _SECURITY
                document["security"] = [{name: []} for name in _SECURITY]
        return derive()

    app.__dict__["openapi"] = openapi
