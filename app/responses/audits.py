"""Answers about audits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from yoloscope.app.schemas import audits as schemas
from yoloscope.app.services.audits.options import AuditOptions

if TYPE_CHECKING:
    from yoloscope.app.services.audits.jobs import AuditJob, FindingsPage


def job_answer(job: AuditJob, status_url: str) -> schemas.AuditJob:
    """Return the state of a job as it is answered."""
    options = AuditOptions.model_validate_json(job.options)
    return schemas.AuditJob(
        id=job.id,
        status_url=status_url,
        name=job.name,
        state=job.state,
        phase=job.phase,
        done=job.done,
        total=job.total,
        eta_s=job.eta_s,
        errors=[] if job.error is None else [job.error],
        model=options.model,
        split=options.split,
        floor=options.floor,
        prevalence=options.prevalence,
        created_at=datetime.fromtimestamp(job.created_at, UTC),
        finished_at=None if job.finished_at is None else datetime.fromtimestamp(job.finished_at, UTC),
    )


def findings_answer(page: FindingsPage) -> schemas.FindingPage:
    """Return a page of findings as it is answered."""
    found = [schemas.AuditFinding.model_validate_json(document) for document in page.findings]
    return schemas.FindingPage(findings=found, cursor=page.cursor)
