"""The page at /: static files that the service itself holds, with a strict Content-Security-Policy."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response

router = APIRouter(include_in_schema=False)

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)


def _add_file(path: str, name: str, content: bytes) -> None:
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {
        "etag": tag,
        "cache-control": "no-cache",  # kept by browsers, and asked for again by its tag: a new version shows at once
        "content-security-policy": _POLICY,
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
    }

    @router.get(path, name=name)
    def get_file(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        known = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
        if known & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_KINDS[PurePath(name).suffix], headers=headers)


def _add_folder(folder: Traversable, prefix: str = "") -> None:
    for item in folder.iterdir():
        name = f"{prefix}{item.name}"
        if item.is_dir():
            _add_folder(item, f"{name}/")
        else:
            _add_file("/" if name == "index.html" else f"/page/{name}", name, item.read_bytes())


_add_folder(files("yoloscope.app").joinpath("web"))
