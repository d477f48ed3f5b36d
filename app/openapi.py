"""The parts of the OpenAPI document that FastAPI cannot derive, because bodies come in several kinds."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from yoloscope.app.schemas.detect import DetectBody
from yoloscope.app.schemas.problem import Problem

BINARY: Final = {"type": "string", "format": "binary"}
"""A file; Swagger UI and generators of clients know uploads by this format, not by ``contentMediaType``."""
_RAW_KINDS: Final = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/gif",
    "application/octet-stream",
)


def form_schema(title: str, files: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a multipart form whose parts are files, by name with their description.

    The options are described once, as query parameters: Swagger UI fills every form field with a sample and sends it.
    """
    parts = {
        name: {"type": "array", "items": BINARY, "minItems": 1, "description": text} for name, text in files.items()
    }
    text = "Files; the options of the query are taken as text fields too."
    return {"title": title, "description": text, "type": "object", "properties": parts, "required": list(files)}


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


def install(app: FastAPI) -> None:
    """Add the problem schema, which the error responses of all routes refer to, to the document of ``app``."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = derive()
            _, problem = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
            document.setdefault("components", {}).setdefault("schemas", {}).update(problem["$defs"])
        return derive()

    app.__dict__["openapi"] = openapi
