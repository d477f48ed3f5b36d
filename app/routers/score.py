"""Route of scoring: labels by the loss."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from yoloscope.app.errors import documented
from yoloscope.app.openapi import query_parameters
from yoloscope.app.requests.detect import JSON_MEDIA_TYPE, ServicesDependency
from yoloscope.app.requests.score import MAP_MEDIA_TYPE, ScoreAnswerType, ScoreRequestDependency, score_body
from yoloscope.app.responses.drawing import encode_image
from yoloscope.app.responses.loss_maps import draw_term_maps
from yoloscope.app.schemas.score import ScoreAnswer, ScoreOptions
from yoloscope.app.services.inference import EncodedImage
from yoloscope.app.services.scoring import ScoreQuery, ScoreRun, score
from yoloscope.models.errors import NotAcceptableError
from yoloscope.models.images import ImageLimits, decode_image, one_large_image

router = APIRouter(prefix="/v1", tags=["score"])

_MAPS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The loss and its breakdown, or with `Accept: image/png` its maps drawn over the image.",
        "content": {MAP_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/score",
    operation_id="score",
    summary="Score labels with the loss",
    response_model=ScoreAnswer,
    responses={**_MAPS, **documented(400, 404, 406, 408, 413, 415, 422, 503, 504)},
    openapi_extra=score_body() | query_parameters(ScoreOptions),
)
async def post_score(
    request: ScoreRequestDependency, services: ServicesDependency, answer_type: ScoreAnswerType
) -> Response:
    """Split the loss of labels by term, scale, object and cell, on the model's own outputs for their images.

    Each image is scored by itself, with the loss that the model was trained with or another preset. Labels that are
    unreadable, of an unknown class, without area or outside the image are refused, all of them named by JSON
    pointer; what is merely doubtful (a duplicate, a tiny object) is scored and flagged. Crowd regions are listed, not
    scored.

    Who scores one image again and again sends it once with `keep`, and from then on its `image_id` with new labels.
    """
    wants_maps = answer_type != JSON_MEDIA_TYPE
    if wants_maps and len(request.pairs) != 1:
        raise NotAcceptableError(f"expected one image for an answer of {answer_type}, got {len(request.pairs)}")
    if wants_maps and request.options.image_id is not None:
        raise NotAcceptableError(
            f"expected an image for an answer of {answer_type}, got the id of one: it has no pixels"
        )
    query = ScoreQuery(**request.options.model_dump(exclude={"image_id"}))
    if wants_maps:
        query = replace(query, detail="cells")
    with services.patience():
        run = await score(services, request.pairs, query, request.timing, request.owner)
        render = partial(_maps, run, request.pairs[0].image, services.limits) if wants_maps else partial(_document, run)
        return Response(await services.decoding.run(render), media_type=answer_type)


def _document(run: ScoreRun) -> bytes:
    from yoloscope.app.responses.score import score_answer  # noqa: PLC0415 - PyTorch

    return score_answer(run).model_dump_json(exclude_none=True).encode()


def _maps(run: ScoreRun, image: EncodedImage, limits: ImageLimits) -> bytes:
    placement = run.results[0].placement
    with one_large_image(placement.image_width, placement.image_height):
        maps = draw_term_maps(run.results[0], decode_image(image.data, limits), f"{run.model}, {run.runtime.version}")
    return encode_image(maps, MAP_MEDIA_TYPE, limits.max_decode_s)
