"""Route of detection."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from yoloscope.app.errors import documented
from yoloscope.app.openapi import detect_body, query_parameters
from yoloscope.app.requests.detect import IMAGE_MEDIA_TYPES, JSON_MEDIA_TYPE, read_detect_request, services_of
from yoloscope.app.responses.detect import answer
from yoloscope.app.responses.drawing import draw_detections, encode_image
from yoloscope.app.schemas.detect import AnswerFormat, DetectAnswer, DetectOptions
from yoloscope.app.services.detection import DetectQuery, DetectRun, detect
from yoloscope.app.services.inference import EncodedImage
from yoloscope.models.errors import NotAcceptableError
from yoloscope.models.images import ImageLimits, decode_image, one_large_image


class RequestRoute(APIRoute):
    """Route to a function of the request alone, which FastAPI calls as it is: there are no dependencies to solve."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


router = APIRouter(prefix="/v1", tags=["detect"], route_class=RequestRoute)

_IMAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The detections, or with `Accept: image/jpeg` or `image/png` the image with its boxes drawn.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_MEDIA_TYPES},
    }
}


@router.post(
    "/detect",
    operation_id="detect",
    summary="Detect objects in images",
    response_model=DetectAnswer,
    responses={**_IMAGES, **documented(400, 404, 406, 408, 413, 415, 422, 503, 504)},
    openapi_extra=detect_body() | query_parameters(DetectOptions),
)
async def post_detect(request: Request) -> Response:
    """Detect in JPEG, PNG, WebP, BMP, GIF, TIFF or AVIF images sent as a form, as a raw body or as base64 in JSON.

    Boxes are in pixels of the image as seen: EXIF orientation applied, transparency on white, the first frame of an
    animation. They are what the model says, not clipped to the image. Detections have the highest score first. In a
    drawn answer the 200 best have a label.
    """
    services = services_of(request)
    asked = await read_detect_request(request, services)
    wants_image = asked.answer_type != JSON_MEDIA_TYPE
    if wants_image and len(asked.images) != 1:
        raise NotAcceptableError(f"expected one image for an answer of {asked.answer_type}, got {len(asked.images)}")
    query = DetectQuery(asked.images, asked.options.model, asked.settings_for)
    with services.patience():
        run = await detect(services, query, asked.timing)
        if wants_image:
            render = partial(_annotated, run, asked.images[0], services.limits, asked.answer_type)
        elif sum(len(found.detections) for found in run.results) > _MOST_AT_ONCE:
            render = partial(_json, run, asked.options.format)
        else:
            return Response(_json(run, asked.options.format), media_type=asked.answer_type)
        return Response(await services.decoding.run(render), media_type=asked.answer_type)


_MOST_AT_ONCE: Final = 500
"""Detections of an answer that is made on the event loop, in about two milliseconds; a thread would be waited for."""


def _json(run: DetectRun, answer_format: AnswerFormat) -> bytes:
    return answer(run, answer_format).model_dump_json(exclude_none=True).encode()


def _annotated(run: DetectRun, image: EncodedImage, limits: ImageLimits, media_type: str) -> bytes:
    """Decode the image again: to keep its pixels meanwhile would take the memory of all that wait."""
    found = run.results[0]
    with one_large_image(found.width, found.height):
        drawn = draw_detections(decode_image(image.data, limits), found.detections, run.runtime.spec.class_names)
        return encode_image(drawn, media_type, limits.max_decode_s)
