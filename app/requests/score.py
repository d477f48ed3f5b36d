"""Requests to score labels: multipart, images and label files in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from yoloscope.app.openapi import form_schema
from yoloscope.app.requests.accept import preferred
from yoloscope.app.requests.body import (
    image_pointers,
    merged,
    parse_form,
    query_options,
    read_file,
    single_values,
    validated,
)
from yoloscope.app.requests.detect import JSON_MEDIA_TYPE, ServicesDependency, start_timing
from yoloscope.app.schemas.score import ScoreOptions
from yoloscope.app.services.inference import EncodedImage, Timing
from yoloscope.app.services.scoring import LabeledUpload
from yoloscope.app.settings import Settings
from yoloscope.models.errors import MediaTypeError, RequestError, RequestTooLargeError

MAP_MEDIA_TYPE: Final = "image/png"
_EXAMPLE: Final = "curl -F image=@image.jpg -F labels=@image.txt"


@dataclass(frozen=True)
class ScoreRequest:
    """The pairs and options of a scoring request, the clock that runs since it came, and the digest of its API key."""

    pairs: list[LabeledUpload]
    options: ScoreOptions
    timing: Timing
    owner: bytes | None


async def get_score_answer_type(request: Request) -> str:
    """Return the content type of the answer: JSON unless Accept prefers an image of the maps."""
    return preferred(request.headers.get("accept"), (JSON_MEDIA_TYPE, MAP_MEDIA_TYPE))


async def get_score_request(request: Request, services: ServicesDependency) -> ScoreRequest:
    """Read a scoring request; a full queue refuses it before its body is read."""
    services.limiter.check()
    query = query_options(request, ScoreOptions)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise MediaTypeError(f"expected multipart/form-data ({_EXAMPLE}), got {kind or 'no content type'!r}")
    images, labels, given = await _read_parts(request, services.settings)
    options = merged(ScoreOptions, query, given)
    owner = request.scope.get("state", {}).get("key_digest")
    pairs = _pairs(images, labels, options, services.settings.max_images)
    return ScoreRequest(pairs, options, start_timing(request), owner)


ScoreRequestDependency = Annotated[ScoreRequest, Depends(get_score_request)]
ScoreAnswerType = Annotated[str, Depends(get_score_answer_type)]


_NamedImages = list[tuple[bytes, str | None]]


async def _read_parts(request: Request, settings: Settings) -> tuple[_NamedImages, list[bytes], dict[str, Any]]:
    """Return the images with their file names, the label files and the options of a form."""
    form = await parse_form(request, 2 * settings.max_images, ("image", "labels"))
    images: _NamedImages = []
    labels: list[bytes] = []
    texts: list[tuple[str, str]] = []
    try:
        for name, value in form.multi_items():
            if name == "image" and isinstance(value, UploadFile):
                images.append((await read_file(name, value), value.filename or None))
            elif name == "labels":
                labels.append(await value.read() if isinstance(value, UploadFile) else value.encode())
            elif isinstance(value, UploadFile) or name == "image":
                raise RequestError("expected files in parts named image and labels, and options as text", f"/{name}")
            else:
                texts.append((name, value))
    finally:
        await form.close()
    return images, labels, validated(ScoreOptions, single_values(texts))


def _pairs(images: _NamedImages, labels: list[bytes], options: ScoreOptions, most: int) -> list[LabeledUpload]:
    if options.image_id is not None:
        if images:
            raise RequestError("expected an image or the image_id of a kept one, got both", "/image_id")
        _check_counts(1, len(labels), most)
        return [LabeledUpload(EncodedImage(b"", "/image_id"), labels[0], image_id=options.image_id)]
    _check_counts(len(images), len(labels), most)
    return [
        LabeledUpload(EncodedImage(image, pointer), text, name)
        for pointer, (image, name), text in zip(image_pointers(len(images)), images, labels, strict=True)
    ]


def _check_counts(images: int, labels: int, most: int) -> None:
    if not images:
        raise RequestError(
            "expected at least one file part named image, or the image_id of a kept one, got none", "/image"
        )
    if images != labels:
        raise RequestError(f"expected one labels part for each of {images} image parts, got {labels}", "/labels")
    if images > most:
        raise RequestTooLargeError(f"expected at most {most} images, got {images}", "/image")


def score_body() -> dict[str, Any]:
    """Return the ``requestBody`` of a scoring request for the OpenAPI document."""
    files = {
        "image": "One image or more; none where `image_id` stands for it.",
        "labels": "As many label files, in the order of the images; an empty one means no objects.",
    }
    schema = form_schema("ScoreForm", files)
    schema["required"] = ["labels"]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
