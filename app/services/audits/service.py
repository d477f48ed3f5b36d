"""Audits of the running service: the database, its jobs, and the worker beside it."""

from __future__ import annotations

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import AuditJobs
from yoloscope.app.services.audits.supervisor import WorkerSupervisor
from yoloscope.app.settings import Settings
from yoloscope.models.errors import StorageError


class AuditService:
    """Opens the database of audits and has its jobs worked on; raises ConfigError or StorageError where it cannot."""

    def __init__(self, settings: Settings) -> None:
        try:
            settings.audits_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"expected to write into YOLOSCOPE_AUDITS_DIR, got: {error.strerror or error}"
            ) from error
        self._grace_s = settings.shutdown_grace_s
        self._database = Database(settings.audits_url)
        self.jobs = AuditJobs(self._database, settings.max_open_audits)
        self.worker = WorkerSupervisor(settings, self.jobs.has_open)

    def close(self) -> None:
        """Stop the worker, whose job is given back to the queue, and close the database."""
        self.worker.stop(self._grace_s)
        self._database.close()
