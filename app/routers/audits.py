"""Routes of audits: label errors of whole data sets, found by a job beside the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from yoloscope.app.errors import documented
from yoloscope.app.openapi import BINARY, query_parameters
from yoloscope.app.requests.audits import (
    AuditUpload,
    CorrectionUpload,
    audit_body,
    audit_upload,
    correction_body,
    correction_upload,
)
from yoloscope.app.requests.detect import ServicesDependency
from yoloscope.app.responses.audits import findings_answer, job_answer
from yoloscope.app.schemas.audits import AuditJob, AuditList, AuditOptions, CorrectionOptions, FindingPage
from yoloscope.app.services.audits.archive import ArchiveLimits
from yoloscope.app.services.audits.options import AuditOptions as KeptOptions
from yoloscope.app.services.audits.options import JobState
from yoloscope.app.services.state import Services
from yoloscope.models.errors import ModelNotFoundError, RequestError
from yoloscope.training.diagnostics.findings import FindingKind
from yoloscope.training.diagnostics.prevalence import parse_prevalence

if TYPE_CHECKING:
    from yoloscope.app.services.audits.correction import CorrectedZip
    from yoloscope.app.services.audits.jobs import AuditJob as StoredJob
    from yoloscope.app.services.audits.service import AuditService

PATH: Final = "/v1/audits"
UPLOADS: Final = (PATH, f"{PATH}/corrected")
"""Where zips come, which have limits of their own."""
_CHANGES: Final = "Yoloscope-Changes"
_MEDIA_TYPES: Final = {"json": "application/json", "csv": "text/csv", "html": "text/html"}

router = APIRouter(prefix=PATH, tags=["audits"])

JobId = Annotated[str, Path(max_length=40, pattern="^[0-9a-f]+$")]
Limit = Annotated[int, Query(ge=1, le=1000)]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern="^[!-~]+$")
]


def _url(request: Request, job_id: str) -> str:
    return f"{request.scope.get('root_path', '')}{PATH}/{job_id}"


@router.post(
    "",
    operation_id="createAudit",
    summary="Audit the labels of a data set",
    status_code=202,
    response_model=AuditJob,
    responses={
        202: {"headers": {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}},
        **documented(400, 404, 408, 413, 415, 422, 503, 504),
    },
    openapi_extra=audit_body() | query_parameters(AuditOptions),
)
async def create_audit(
    request: Request, response: Response, services: ServicesDependency, idempotency_key: IdempotencyKey = None
) -> AuditJob:
    """Queue an audit of a zip, whose labels are judged by a model one by one.

    The zip may hold any data set that the commands read: COCO, VOC or YOLO. Sent again with the same Idempotency-Key it
    gives the same job. A zip that is broken, hostile or too large is refused at once, and so is one whose data set
    cannot be read, has no labels, or classes that the model does not know.
    """
    audits = await services.jobs.run(services.audits)
    if idempotency_key is None or not await services.jobs.run(audits.jobs.is_known, idempotency_key):
        await services.jobs.run(audits.jobs.check_room)
    async with audit_upload(request, services.settings.audits_dir) as upload:
        model = await _model(services, upload.options.model)
        job = await services.jobs.run(_submit, services, upload, model, idempotency_key)
    audits.worker.wake()
    response.headers["Location"] = _url(request, job.id)
    return job_answer(job, _url(request, job.id))


async def _model(services: Services, name: str | None) -> str:
    names = await services.files.run(services.store.names)
    name = name or services.store.default
    if name not in names:
        raise ModelNotFoundError(f"expected one of the models {', '.join(names)}, got {name!r}")
    return name


def _submit(services: Services, upload: AuditUpload, model: str, key: str | None) -> StoredJob:
    from yoloscope.app.services.audits.data import check_upload  # noqa: PLC0415 - a start without archives
    from yoloscope.app.services.audits.jobs import Submission  # noqa: PLC0415 - a start without SQLAlchemy

    settings, options = services.settings, upload.options
    limits = ArchiveLimits(settings.max_audit_files, settings.max_audit_unpacked_bytes)
    spec = services.store.get(model).spec
    check_upload(upload.file, upload.name, options.split, spec, limits, settings.audits_dir)
    kept = KeptOptions(
        model=model, split=options.split, floor=options.floor, prevalence=parse_prevalence(options.prevalence)
    )
    return services.audits().jobs.submit(Submission(upload.file, upload.name, kept.model_dump_json(), key))


@router.post(
    "/corrected",
    operation_id="correctData",
    summary="Apply the decisions on an audit",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A zip with the paths of the one that came.",
            "content": {"application/zip": {"schema": BINARY}},
            "headers": {_CHANGES: {"description": "What was changed, in words.", "schema": {"type": "string"}}},
        },
        **documented(400, 408, 413, 415, 422, 503, 504),
    },
    openapi_extra=correction_body() | query_parameters(CorrectionOptions),
)
async def correct_data(request: Request, services: ServicesDependency) -> StreamingResponse:
    """Return a data set with its labels added, relabeled, moved and deleted as accepted findings suggest.

    The zip is the one that was audited, `decisions` what the page of a report saves; neither is kept. What is not
    decided keeps its bytes, as with `yoloscope audit apply`. Where a finding does not fit the labels as they are in the
    zip, the answer is an error and nothing is changed.
    """
    audits = await services.jobs.run(services.audits)
    async with correction_upload(request, services.settings.audits_dir) as upload:
        corrected = await services.jobs.run(_correct, audits, upload)
    name = f"{upload.name}-{'corrected' if upload.options.content == 'data' else 'labels'}.zip"
    changes = "; ".join(corrected.mended.in_words())
    headers = {"Content-Disposition": f'attachment; filename="{name}"', _CHANGES: changes}
    return StreamingResponse(_in_threads(services, corrected.parts()), media_type="application/zip", headers=headers)


def _correct(audits: AuditService, upload: CorrectionUpload) -> CorrectedZip:
    from yoloscope.app.services.audits.correction import Correction  # noqa: PLC0415 - a start without data sets

    options = upload.options
    return audits.corrector.correct(
        Correction(upload.file, upload.name, upload.decisions, options.content, options.new_classes)
    )


@router.get("", operation_id="listAudits", summary="List the audits", responses=documented(422, 503, 504))
async def list_audits(
    request: Request,
    services: ServicesDependency,
    state: JobState | None = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 20,
) -> AuditList:
    """List audits, the newest first, by page."""
    before = None if cursor is None else _number(cursor)
    audits = await services.jobs.run(services.audits)
    found = await services.jobs.run(audits.jobs.list, limit + 1, before, state)
    page = found[:limit]
    return AuditList(
        audits=[job_answer(job, _url(request, job.id)) for job in page],
        cursor=str(page[-1].number) if len(found) > limit else None,
    )


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 9:
        raise RequestError(f"expected the cursor of an answer, got {cursor!r}", "/cursor")
    return int(cursor)


@router.get(
    "/{audit_id}", operation_id="getAudit", summary="Progress of an audit", responses=documented(404, 422, 503, 504)
)
async def get_audit(request: Request, services: ServicesDependency, audit_id: JobId) -> AuditJob:
    """Return the state of an audit and how far it is."""
    audits = await services.jobs.run(services.audits)
    return job_answer(await services.jobs.run(audits.jobs.get, audit_id), _url(request, audit_id))


@router.post(
    "/{audit_id}/cancel",
    operation_id="cancelAudit",
    summary="Cancel an audit",
    responses=documented(404, 409, 422, 503, 504),
)
async def cancel_audit(request: Request, services: ServicesDependency, audit_id: JobId) -> AuditJob:
    """Stop an audit after the images that are at work; what was found until then stays."""
    audits = await services.jobs.run(services.audits)
    return job_answer(await services.jobs.run(audits.jobs.cancel, audit_id), _url(request, audit_id))


@router.delete(
    "/{audit_id}",
    operation_id="deleteAudit",
    summary="Delete an audit",
    status_code=204,
    responses=documented(404, 422, 503, 504),
)
async def delete_audit(services: ServicesDependency, audit_id: JobId) -> None:
    """Delete an audit in any state, with its zip, findings and reports; one that runs is canceled."""
    audits = await services.jobs.run(services.audits)
    await services.jobs.run(audits.jobs.purge, audit_id)


@router.get(
    "/{audit_id}/findings",
    operation_id="listFindings",
    summary="List the findings of an audit",
    responses=documented(404, 422, 503, 504),
)
async def list_findings(
    services: ServicesDependency,
    audit_id: JobId,
    kind: FindingKind | None = None,
    class_name: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
) -> FindingPage:
    """List findings by page, the most probable first; while an audit runs, those of the images that are done."""
    audits = await services.jobs.run(services.audits)
    page = await services.jobs.run(audits.jobs.findings, audit_id, kind, class_name, cursor, limit)
    return await services.jobs.run(findings_answer, page)


@router.get(
    "/{audit_id}/report.{kind}",
    operation_id="getAuditReport",
    summary="Report of an audit",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The report: a JSON document, a table, or a page to review the findings on.",
            "content": {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES.values()}
            | {"application/json": {"schema": {"type": "object"}}},
        },
        **documented(404, 409, 422, 503, 504),
    },
)
async def get_audit_report(
    services: ServicesDependency, audit_id: JobId, kind: Literal["json", "csv", "html"]
) -> StreamingResponse:
    """Return a report of an audit that is done, the same that `yoloscope audit --output` writes."""
    audits = await services.jobs.run(services.audits)
    parts = await services.jobs.run(audits.jobs.report, audit_id, f"report.{kind}")
    headers = {"Content-Disposition": f'inline; filename="report.{kind}"'}
    return StreamingResponse(_in_threads(services, parts), media_type=_MEDIA_TYPES[kind], headers=headers)


async def _in_threads(services: Services, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (part := await services.jobs.run(next, parts, None)) is not None:
        yield part
