"""Route of DeepStack's object detection, as software for home cameras (Frigate, Blue Iris) calls it."""

from __future__ import annotations

from contextlib import nullcontext

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from yoloscope.app.api_keys import KEY_IN_FORM, ApiKeys
from yoloscope.app.errors import documented_deepstack_errors
from yoloscope.app.openapi import BINARY, query_parameters
from yoloscope.app.requests.body import parse_form, query_options, read_file, single_values, validated
from yoloscope.app.requests.detect import ServicesDependency, start_timing
from yoloscope.app.schemas.deepstack import DeepStackAnswer, DeepStackFields, DeepStackOptions, DeepStackPrediction
from yoloscope.app.services.detection import DetectQuery, detect
from yoloscope.app.services.inference import DetectSettings, EncodedImage, ImageDetections
from yoloscope.models.errors import MediaTypeError, RequestError

router = APIRouter(tags=["deepstack"])

MOST_PREDICTIONS = 20
"""As many as Frigate reads."""
_FORM = {
    "type": "object",
    "properties": {
        "image": BINARY,
        "min_confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.4},
        "api_key": {"type": "string"},
    },
    "required": ["image"],
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


@router.post(
    KEY_IN_FORM,
    operation_id="deepstackDetect",
    summary="Detect as DeepStack does",
    responses=documented_deepstack_errors(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
    openapi_extra=_BODY | query_parameters(DeepStackOptions),
)
async def post_detection(request: Request, services: ServicesDependency) -> DeepStackAnswer:
    """Detect in the one image of a form: at most 20 objects, the highest confidence first, clipped to the image."""
    services.limiter.check()
    chosen = query_options(request, DeepStackOptions)
    image, fields = await _read_form(request)
    keys: ApiKeys | None = request.app.state.api_keys
    authorized = keys is None or request.scope["state"].get("authorized", False)
    with nullcontext() if authorized or keys is None else keys.hold(fields.api_key or None):
        timing = start_timing(request)
        query = DetectQuery(
            [EncodedImage(image, "/image")],
            chosen.get("model"),
            lambda spec: DetectSettings.for_model(
                spec, fields.min_confidence, None, MOST_PREDICTIONS, chosen.get("classes")
            ),
        )
        run = await detect(services, query, timing)
    predictions = _predictions(run.results[0], run.runtime.spec.class_names)
    return DeepStackAnswer(predictions=predictions, duration=timing.milliseconds()["total"])


async def _read_form(request: Request) -> tuple[bytes, DeepStackFields]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise MediaTypeError(f"expected multipart/form-data with the part image, got {kind or 'no content type'!r}")
    form = await parse_form(request, 1, ("image",))
    try:
        texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        if [name for name, _ in files] != ["image"]:
            raise RequestError("expected one file part named image, got none", "/image")
        image = await read_file(*files[0])
    finally:
        await form.close()
    return image, DeepStackFields(**validated(DeepStackFields, single_values(texts)))


def _predictions(found: ImageDetections, names: tuple[str, ...]) -> list[DeepStackPrediction]:
    rows = zip(
        found.detections.class_ids.tolist(),
        found.detections.scores.tolist(),
        found.detections.boxes_xyxy.tolist(),
        strict=True,
    )
    return [
        DeepStackPrediction(
            confidence=score,
            label=names[class_id],
            x_min=_within(x1, found.width),
            y_min=_within(y1, found.height),
            x_max=_within(x2, found.width),
            y_max=_within(y2, found.height),
        )
        for class_id, score, (x1, y1, x2, y2) in rows
    ]


def _within(value: float, size: int) -> int:
    """Return a coordinate as a whole pixel in 0..size."""
    return round(min(max(value, 0.0), float(size)))
