"""Detection requests: images and options, and the dependencies that handlers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from yoloscope.app.requests.accept import preferred
from yoloscope.app.requests.body import merged, read_upload, single_values
from yoloscope.app.schemas.detect import DetectOptions
from yoloscope.app.services.detection import DetectQuery
from yoloscope.app.services.state import Services

JSON_MEDIA_TYPE = "application/json"
IMAGE_MEDIA_TYPES = ("image/jpeg", "image/png")


def get_services(request: Request) -> Services:
    """Return the services of the running app."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesDependency = Annotated[Services, Depends(get_services)]


def get_answer_type(request: Request) -> str:
    """Return the content type of the answer: JSON unless Accept prefers an image."""
    return preferred(request.headers.get("accept"), (JSON_MEDIA_TYPE, *IMAGE_MEDIA_TYPES))


AnswerType = Annotated[str, Depends(get_answer_type)]


@dataclass(frozen=True)
class DetectRequest:
    """Images and options of a detection request."""

    images: list[bytes]
    options: DetectOptions

    def query(self, *, keep_images: bool) -> DetectQuery:
        """Return the options as the service takes them."""
        options = self.options.model_dump(exclude={"format"})
        classes = None if self.options.classes is None else tuple(self.options.classes)
        return DetectQuery(**(options | {"classes": classes, "keep_images": keep_images}))


async def get_detect_request(
    request: Request, services: ServicesDependency, query: Annotated[DetectOptions, Query()]
) -> DetectRequest:
    """Read a detection request; a full queue refuses it before its body is read."""
    services.limiter.check()
    single_values(request.query_params.multi_items())
    upload = await read_upload(request, services.settings)
    return DetectRequest(upload.images, merged(DetectOptions, query.model_dump(exclude_unset=True), upload.options))


DetectRequestDependency = Annotated[DetectRequest, Depends(get_detect_request)]
