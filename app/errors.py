"""Every error as problem details (RFC 9457): one table from exceptions to HTTP."""

from __future__ import annotations

import json
import logging
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from yoloscope.app.schemas.problem import FieldProblem, Problem
from yoloscope.models import errors
from yoloscope.models.files import encodable

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:yoloscope:problem:"
_RETRY_AFTER_S: Final = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """HTTP form of one exception class: status, and the last part of the problem's type with its title."""

    status: int
    name: str
    title: str
    retry_after_s: int | None = None
    """When to come back, where waiting helps."""


_BROKEN_MODEL: Final = Kind(503, "model-unavailable", "The model cannot be served")
_SERVER_FAULT: Final = Kind(500, "internal", "The service failed")

TABLE: Final[Mapping[type[errors.YoloscopeError], Kind]] = {
    errors.YoloscopeError: _SERVER_FAULT,
    errors.SpecError: _SERVER_FAULT,
    errors.ConfigError: _SERVER_FAULT,
    errors.DarknetError: _SERVER_FAULT,
    errors.CfgError: _SERVER_FAULT,
    errors.UnsupportedLayerError: _SERVER_FAULT,
    errors.WeightsError: _SERVER_FAULT,
    errors.ModelError: _BROKEN_MODEL,
    errors.ModelNotFoundError: Kind(404, "model-not-found", "There is no such model"),
    errors.ModelLoadError: _BROKEN_MODEL,
    errors.ProviderError: _BROKEN_MODEL,
    errors.DownloadError: _SERVER_FAULT,
    errors.OutputError: _SERVER_FAULT,
    errors.ExportError: _SERVER_FAULT,
    errors.ImageError: Kind(422, "image", "The image cannot be used"),
    errors.ImageTooLargeError: Kind(413, "image-too-large", "The image is over a limit"),
    errors.ImageTypeError: Kind(415, "image-type", "The image has an unsupported format"),
    errors.ImageDecodeError: Kind(422, "image-decode", "The image cannot be decoded"),
    errors.RequestError: Kind(422, "request", "The request has wrong values"),
    errors.MalformedRequestError: Kind(400, "malformed", "The request cannot be parsed"),
    errors.MediaTypeError: Kind(415, "media-type", "The body has an unsupported content type"),
    errors.NotAcceptableError: Kind(406, "not-acceptable", "None of the accepted content types can be answered"),
    errors.RequestTooLargeError: Kind(413, "request-too-large", "The request is over a limit"),
    errors.ArchiveError: Kind(422, "archive", "The archive cannot be used"),
    errors.RequestTimeoutError: Kind(408, "timeout", "The body did not arrive in time"),
    errors.ImageNotKeptError: Kind(404, "image-not-kept", "There is no such image"),
    errors.UnauthorizedError: Kind(401, "unauthorized", "An API key is needed"),
    errors.ForbiddenError: Kind(403, "forbidden", "The service does not allow it"),
    errors.ServiceError: Kind(503, "service", "The service cannot answer now", _RETRY_AFTER_S),
    errors.BusyError: Kind(503, "busy", "The service is busy", _RETRY_AFTER_S),
    errors.DeadlineError: Kind(504, "deadline", "The request waited too long", _RETRY_AFTER_S),
    errors.TooManyRequestsError: Kind(429, "too-many-requests", "Too many requests at once", _RETRY_AFTER_S),
    errors.NotReadyError: Kind(503, "not-ready", "The service is not ready", _RETRY_AFTER_S),
    errors.StorageError: Kind(503, "storage", "The storage of jobs cannot be used", _RETRY_AFTER_S),
    errors.JobError: _SERVER_FAULT,
    errors.JobNotFoundError: Kind(404, "job-not-found", "There is no such job"),
    errors.JobStateError: Kind(409, "job-state", "The job is in another state"),
    errors.LabelError: Kind(422, "labels", "The labels cannot be used"),
    errors.DatasetError: Kind(422, "data-set", "The data set cannot be used"),
    errors.CheckpointError: _SERVER_FAULT,
    errors.LossError: Kind(422, "loss", "The loss cannot be computed"),
    errors.PresetError: Kind(422, "preset", "The loss preset cannot be used"),
    errors.NonFiniteLossError: Kind(422, "non-finite-loss", "The loss is not finite"),
}


def kind_of(error: errors.YoloscopeError) -> Kind:
    """Return the table's entry for an error, the nearest base class deciding."""
    return next(TABLE[base] for base in type(error).__mro__ if base in TABLE)


class ProblemResponse(Response):
    """A problem, in the shape of the protocol whose path was called; its kind is noted in the state of the request."""

    def __init__(self, kind: Kind, problem: Problem, headers: Mapping[str, str]) -> None:
        super().__init__(problem.model_dump_json(exclude_none=True), kind.status, headers, PROBLEM_MEDIA_TYPE)
        self._kind = kind
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the problem."""
        scope.setdefault("state", {})["problem"] = self._kind.name
        answer = self.for_path(called_path(scope))
        await (super().__call__ if answer is self else answer)(scope, receive, send)

    def for_path(self, path: str) -> Response:
        """Return the problem in the shape of the protocol of a path."""
        if path == "/v2" or path.startswith("/v2/"):
            status = _PROTOCOL_STATUS.get(self.status_code, self.status_code)
            return self._as_json({"error": _with_pointer(self._problem)}, status)
        if path.startswith("/v1/vision/"):
            document = {"success": False, "error": _with_pointer(self._problem), "duration": 0}
            return self._as_json(document, self.status_code)
        return self

    def _as_json(self, document: Mapping[str, object], status: int) -> Response:
        headers = {name: value for name, value in self.headers.items() if not name.startswith("content-")}
        return Response(json.dumps(document), status, headers, "application/json")


def called_path(scope: Scope) -> str:
    """Return the path of a request without the prefix under which a proxy publishes the service."""
    path: str = scope.get("path", "")
    return path.removeprefix(scope.get("root_path", ""))


def _with_pointer(problem: Problem) -> str:
    """Return the detail of a problem, preceded by the place of its first fault unless it names it."""
    pointer = problem.errors[0].pointer if problem.errors else ""
    return problem.detail if pointer in problem.detail else f"{pointer}: {problem.detail}"


_PROTOCOL_STATUS: Final = {415: 400, 422: 400}
"""The Open Inference Protocol has 400 for every request with wrong values."""


def problem_response(
    kind: Kind, detail: str, faults: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    """Return the response of one problem, with Retry-After where waiting helps."""
    problem = Problem(
        type="about:blank" if not kind.name else _TYPE_PREFIX + kind.name,
        title=kind.title,
        status=kind.status,
        detail=_without_addresses(detail),
        errors=[FieldProblem(pointer=f.pointer, detail=_without_addresses(f.detail)) for f in faults] or None,
    )
    sent = dict(headers or {})
    if kind.retry_after_s is not None:
        sent.setdefault("Retry-After", str(kind.retry_after_s))
    return ProblemResponse(kind, problem, sent)


def _without_addresses(text: str) -> str:
    """Return a message in UTF-8, without the memory addresses that libraries give (``<_io.BytesIO at 0x7f..>``)."""
    return encodable(re.sub(r"\s*\bat 0x[0-9a-fA-F]{6,}", "", text))


def respond(error: errors.YoloscopeError) -> ProblemResponse:
    """Return the response of an error of the tree; faults of the server are logged, not shown."""
    kind = kind_of(error)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("a request failed", exc_info=error)
        return problem_response(kind, "the reason is in the service's log")
    headers = {"WWW-Authenticate": "Bearer"} if kind.status == HTTPStatus.UNAUTHORIZED else {}
    if isinstance(error, errors.BusyError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return problem_response(kind, str(error), _faults(error), headers)


def _faults(error: errors.YoloscopeError) -> list[FieldProblem]:
    if isinstance(error, errors.LabelError):
        return [FieldProblem(pointer=problem.pointer, detail=problem.detail) for problem in error.problems]
    if isinstance(error, errors.RequestError | errors.ImageError) and error.pointer:
        return [FieldProblem(pointer=error.pointer, detail=str(error))]
    return []


def validation_faults(problems: Sequence[Any], skip: int, fields: Sequence[str] = ()) -> list[FieldProblem]:
    """Return the faults of pydantic's error list as pointers; ``skip`` leading parts of each location are dropped.

    A field that there is not is answered with those that there are, ``fields``. Parts that name a branch of a union
    instead of a field (``str``, ``constrained-int``) are dropped as well.
    """
    faults: dict[str, FieldProblem] = {}
    for problem in problems:
        parts = [str(part) for part in problem["loc"][skip:] if part not in _UNION_BRANCHES]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
        detail = _fault(problem, fields if len(problem["loc"]) == skip + 1 else ())
        known = faults.get(pointer)
        text = detail if known is None else f"{known.detail}; {detail}"
        faults[pointer] = FieldProblem(pointer=pointer, detail=text)
    return list(faults.values())


def _fault(problem: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return what was expected and what came, of one entry of pydantic's error list."""
    message = str(problem["msg"])
    match problem.get("type"):
        case "extra_forbidden":
            known = f": expected one of {', '.join(fields)}" if fields else ""
            return f"{message}{known}, got {_shown(problem['loc'][-1])}"
        case "missing":
            return f"{message}, got none"
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            return f"{message}, got {_shown(problem['input'])}" if "input" in problem else message


def _shown(value: object) -> str:
    """Return a value as a message shows it: short."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value)


_UNION_BRANCHES: Final = frozenset({"str", "int", "constrained-str", "constrained-int"})


def invalid_values(error: ValidationError, fields: Sequence[str] = ()) -> InvalidValuesError:
    """Return the error of options or a body that pydantic refused; ``fields`` are those that may be given."""
    return InvalidValuesError(validation_faults(error.errors(include_url=False), 0, fields))


class InvalidValuesError(errors.RequestError):
    """A request with one or more wrong fields."""

    def __init__(self, faults: list[FieldProblem]) -> None:
        super().__init__(_summary(faults))
        self.faults = faults


def _summary(faults: Sequence[FieldProblem]) -> str:
    return "; ".join(f"{fault.pointer or 'request'}: {fault.detail}" for fault in faults[:5])


async def _on_known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.YoloscopeError)
    return respond(error)


async def _on_invalid_values(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidValuesError)
    return problem_response(kind_of(error), str(error), error.faults)


async def _on_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = validation_faults(error.errors(), skip=1)
    return problem_response(TABLE[errors.RequestError], _summary(faults), faults)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = error.detail
    if detail == status.phrase:
        detail = f"{request.method} {request.url.path}: {status.description or status.phrase}"
    return problem_response(Kind(status, "", status.phrase), detail, headers=error.headers)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return respond(errors.MalformedRequestError("expected a whole body, got a connection that ended before"))


async def _on_unforeseen(_request: Request, error: Exception) -> Response:
    logger.error("a request failed", exc_info=error)
    return problem_response(_SERVER_FAULT, "the reason is in the service's log")


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error as problem details."""
    app.add_exception_handler(errors.YoloscopeError, _on_known)
    app.add_exception_handler(InvalidValuesError, _on_invalid_values)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unforeseen)


def documented_protocol_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI ``responses`` of error statuses of the Open Inference Protocol."""
    return _documented_json("ProtocolError", statuses)


def documented_deepstack_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI ``responses`` of error statuses in DeepStack's form."""
    return _documented_json("DeepStackError", statuses)


def _documented_json(name: str, statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/json": {"schema": schema}}}
        for status in statuses
    }


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI ``responses`` of error statuses, all with the problem schema."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
