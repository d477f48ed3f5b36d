"""Interactive documentation of the API at /docs: Swagger UI, whose files the service itself holds."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_KINDS: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs")
def get_docs() -> HTMLResponse:
    """Answer with the page; its addresses are relative, so that it works under any ``root_path``."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Yoloscope: API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={"validatorUrl": None},  # else the document is sent to a foreign host for validation
    )


def _add_asset(name: str, kind: str) -> None:
    @router.get(f"/docs/{name}", name=name)
    def get_asset() -> Response:
        content = files("yoloscope.app").joinpath("swagger", name).read_bytes()
        return Response(content, media_type=kind, headers={"cache-control": "max-age=86400"})


for _name, _kind in _KINDS.items():
    _add_asset(_name, _kind)
