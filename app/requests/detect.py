"""Detection requests: images and options, and the dependencies that handlers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from yoloscope.app.requests.accept import preferred
from yoloscope.app.requests.body import merged, query_options, read_upload
from yoloscope.app.schemas.detect import DetectOptions
from yoloscope.app.services.inference import DetectSettings, EncodedImage, Timing
from yoloscope.app.services.state import Services
from yoloscope.models.spec import DetectorSpec

JSON_MEDIA_TYPE = "application/json"
IMAGE_MEDIA_TYPES = ("image/jpeg", "image/png")


def services_of(request: Request) -> Services:
    """Return the services of the running app."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def get_services(request: Request) -> Services:
    """Return the services of the running app; a coroutine, since FastAPI runs functions in threads."""
    return services_of(request)


ServicesDependency = Annotated[Services, Depends(get_services)]


@dataclass(frozen=True)
class DetectRequest:
    """Images and options of a detection request, the clock that runs since it came, and the type of its answer."""

    images: list[EncodedImage]
    options: DetectOptions
    timing: Timing
    answer_type: str

    def settings_for(self, spec: DetectorSpec) -> DetectSettings:
        """Return what the options mean to a model; raises RequestError for classes that it lacks."""
        return DetectSettings.for_model(spec, **self.options.model_dump(exclude={"model", "format"}))


def start_timing(request: Request) -> Timing:
    """Return the clock of a request, which runs since its head arrived."""
    started_at = request.scope.get("state", {}).get("started_at")
    return Timing() if started_at is None else Timing(started_at)


async def read_detect_request(request: Request, services: Services) -> DetectRequest:
    """Read a detection request; a full queue refuses it before its body is read.

    The answer is JSON unless Accept prefers an image.
    """
    services.limiter.check()
    query = query_options(request, DetectOptions)
    upload = await read_upload(request, services.settings)
    options = merged(DetectOptions, query, upload.options)
    answer_type = preferred(request.headers.get("accept"), (JSON_MEDIA_TYPE, *IMAGE_MEDIA_TYPES))
    return DetectRequest(upload.images, options, start_timing(request), answer_type)
