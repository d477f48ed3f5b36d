"""Routes of a Label Studio ML backend: predictions for tasks, and reviews of submitted annotations.

Source of the contract: https://labelstud.io/guide/ml_create and https://labelstud.io/guide/webhook_reference.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from yoloscope.app.errors import documented
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.responses.label_studio import native_labels, prediction, review, review_prediction
from yoloscope.app.schemas.label_studio import (
    Health,
    ModelVersion,
    PredictAnswer,
    PredictRequest,
    Review,
    SentTask,
    SetupRequest,
    WebhookAnswer,
    WebhookRequest,
)
from yoloscope.app.services.detection import DetectQuery, detect
from yoloscope.app.services.inference import DetectSettings, EncodedImage, Timing
from yoloscope.app.services.label_studio import LabelStudio
from yoloscope.app.services.scoring import LabeledUpload, ScoreQuery, score
from yoloscope.app.services.state import Services
from yoloscope.models.classes import UNKNOWN_CLASS, ClassIndex
from yoloscope.models.errors import RequestError, YoloscopeError
from yoloscope.models.images import decode_image
from yoloscope.training.diagnostics.exchange.label_studio import LabelingConfig, read_regions

router = APIRouter(prefix="/label-studio", tags=["label-studio"])
logger = logging.getLogger(__name__)

_SUBMITTED: Final = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
_PATIENCE_S: Final = 0.7
"""Label Studio waits a second for the answer to an event."""


async def get_label_studio(request: Request) -> LabelStudio:
    """Return the client of the running app."""
    client = request.app.state.label_studio
    assert isinstance(client, LabelStudio)
    return client


LabelStudioDependency = Annotated[LabelStudio, Depends(get_label_studio)]


@router.get("/health", operation_id="labelStudioHealth", summary="Answer that the backend is up")
async def health() -> Health:
    """Answer that the backend is up."""
    return Health()


@router.post(
    "/setup", operation_id="labelStudioSetup", summary="Connect a project", responses=documented(400, 413, 422, 503)
)
async def setup(body: SetupRequest, services: ServicesDependency) -> ModelVersion:
    """Check a project's labeling configuration, which must have rectangles on an image, and name the model."""
    LabelingConfig.parse(body.label_config)
    return ModelVersion(model_version=await _model_version(services))


@router.post(
    "/predict",
    operation_id="labelStudioPredict",
    summary="Predict the regions of tasks",
    responses=documented(400, 413, 415, 422, 503, 504),
)
async def predict(body: PredictRequest, services: ServicesDependency, client: LabelStudioDependency) -> PredictAnswer:
    """Detect in the images of tasks with the default model; scores stand at each region, their mean at each task."""
    config = LabelingConfig.parse(body.label_config)
    limit = services.settings.max_images
    if len(body.tasks) > limit:
        raise RequestError(f"expected at most {limit} tasks, got {len(body.tasks)}", "/tasks")
    images = [
        await _fetch(client, task, config, f"/tasks/{index}/data/{config.image_key}")
        for index, task in enumerate(body.tasks)
    ]
    query = DetectQuery(images, None, DetectSettings.for_model)
    run = await detect(services, query, Timing())
    version = f"{run.model} {run.runtime.version}"
    results = [prediction(found, run.runtime.spec.class_names, config, version) for found in run.results]
    return PredictAnswer(results=results, model_version=version)


@router.post(
    "/webhook",
    operation_id="labelStudioWebhook",
    summary="Review a submitted annotation",
    status_code=201,
    responses=documented(400, 413, 415, 422, 503),
)
async def webhook(
    body: WebhookRequest, services: ServicesDependency, client: LabelStudioDependency, response: Response
) -> WebhookAnswer:
    """Score a submitted or changed annotation by the loss of the default model.

    The answer has the review if it is done within the second that Label Studio waits (201), else it goes on (202). It
    is logged, and written to the task as a prediction where the service has a token.
    """
    if body.action not in _SUBMITTED:
        response.status_code = 200
        return WebhookAnswer(status="ignored")
    for name in ("project", "task", "annotation"):
        if getattr(body, name) is None:
            raise RequestError(f"expected the {name} of the event, got none", f"/{name}")
    done: list[Review] = []
    task = client.later(_review(body, services, client, done))
    await asyncio.wait({task}, timeout=_PATIENCE_S)
    if not task.done():
        response.status_code = 202
        return WebhookAnswer(status="pending")
    task.result()
    return WebhookAnswer(status="reviewed", review=done[0])


async def _review(body: WebhookRequest, services: Services, client: LabelStudio, done: list[Review]) -> None:
    """Put the review of an event's annotation into ``done``, log it, and write it to Label Studio."""
    assert body.project is not None
    assert body.task is not None
    assert body.annotation is not None
    try:
        if body.project.label_config is None:
            raise RequestError("expected the project's label_config, got none", "/project/label_config")
        config = LabelingConfig.parse(body.project.label_config)
        image = await _fetch(client, body.task, config, f"/task/data/{config.image_key}")
        decoded = await services.decoding.run(decode_image, image.data, services.limits)
        regions = read_regions(body.annotation.result, config, (decoded.width, decoded.height))
        runtime = await services.model(None)
        classes = ClassIndex(runtime.spec.class_names)
        known = [(name, box) for name, box in regions if classes.by_name(name) != UNKNOWN_CLASS]
        unknown = [name for name, _ in regions if classes.by_name(name) == UNKNOWN_CLASS]
        query = ScoreQuery(labels_format="native")
        run = await score(services, [LabeledUpload(image, native_labels(known))], query, Timing())
        found, scored = await services.decoding.run(review, run, body.annotation.id, unknown)
        done.append(found)
        logger.info("annotation %s of task %s: %s", found.annotation, body.task.id, found.model_dump_json())
        if client.can_write and body.task.id is not None:
            version = f"{run.model} {run.runtime.version}"
            await client.write_prediction(review_prediction(scored, body.task.id, config, version))
    except YoloscopeError as error:
        logger.warning("annotation %s of task %s was not reviewed: %s", body.annotation.id, body.task.id, error)
        raise


async def _fetch(client: LabelStudio, task: SentTask, config: LabelingConfig, pointer: str) -> EncodedImage:
    address = task.data.get(config.image_key)
    if not isinstance(address, str) or not address:
        raise RequestError(f"expected the address of an image, got {str(address)[:60]!r}", pointer)
    return EncodedImage(await client.image(address, pointer), pointer)


async def _model_version(services: Services) -> str:
    runtime = await services.model(None)
    return f"{services.store.default} {runtime.version}"
