"""Route of losses: raw heads that a client computed."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from yoloscope.app.errors import documented
from yoloscope.app.openapi import losses_body
from yoloscope.app.requests.detect import JSON_MEDIA_TYPE, ServicesDependency, start_timing
from yoloscope.app.requests.losses import LossQueryDependency
from yoloscope.app.schemas.losses import LossesAnswer
from yoloscope.app.services.losses import LossRun, compute

router = APIRouter(prefix="/v1", tags=["score"])


@router.post(
    "/losses",
    operation_id="losses",
    summary="Compute the loss of raw heads",
    response_model=LossesAnswer,
    responses=documented(400, 408, 413, 415, 422, 503, 504),
    openapi_extra=losses_body(),
)
async def post_losses(query: LossQueryDependency, services: ServicesDependency, request: Request) -> Response:
    """Split the loss of a batch by term, scale, image, object and cell, from raw heads, labels and a detector's spec.

    No model is needed: heads of any framework can be checked against any preset, from `v1` to `v4`, by their formulas
    or by darknet's gradients, and `v1-walkthrough` and `article-mse`. The numbers are those that training computes.
    """
    run = await compute(services, query, start_timing(request))
    return Response(await services.decoding.run(_document, run), media_type=JSON_MEDIA_TYPE)


def _document(run: LossRun) -> bytes:
    from yoloscope.app.responses.losses import losses_answer  # noqa: PLC0415 - PyTorch

    return losses_answer(run).model_dump_json(exclude_none=True).encode()
