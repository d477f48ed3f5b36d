"""Audits of the running service: the database, its jobs, and a worker process, started anew when it died."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from yoloscope.app.services.audits.archive import ArchiveLimits
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.jobs import AuditJobs
from yoloscope.app.settings import Settings
from yoloscope.models.errors import StorageError, YoloscopeError

if TYPE_CHECKING:
    from yoloscope.app.services.audits.correction import Corrector

_LOOK_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 60.0
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_LOGGER = logging.getLogger(__name__)


class WorkerSupervisor:
    """A thread that looks for work every two seconds, or when it is woken, and keeps one worker at it.

    ``has_work`` says whether a job is queued or running, here or in another replica.
    """

    def __init__(self, settings: Settings, has_work: Callable[[], bool]) -> None:
        self._settings = settings
        self._has_work = has_work
        self._wake = Event()
        self._stopped = Event()
        self._process: subprocess.Popen[str] | None = None
        self._pause_s = 0.0
        self._thread = Thread(target=self._watch, name="audits", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None where none runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def stop(self, grace_s: float) -> None:
        """Let the worker finish the images at work and give its job back, for ``grace_s`` at most; then kill it."""
        self._stopped.set()
        self._wake.set()
        self._thread.join()
        self.stop_worker(grace_s)

    def stop_worker(self, grace_s: float) -> None:
        """Stop the process that runs now."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
        self._reap(process)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except YoloscopeError as error:
                _LOGGER.warning("audits: %s", error)
            except OSError:
                _LOGGER.exception("the worker of audits could not be started")
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def _look(self) -> None:
        process = self._process
        if process is not None:
            if process.poll() is None:
                return
            status = self._reap(process)
            self._process = None
            self._pause_s = 0.0 if status == 0 else min(2 * self._pause_s or 0.5, _LONGEST_PAUSE_S)
            if status:
                _LOGGER.warning("the worker of audits ended with status %d; its job goes on in a new one", status)
                self._stopped.wait(self._pause_s)
        if not self._stopped.is_set() and self._has_work():
            self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        threads = str(self._settings.audit_threads)
        process = subprocess.Popen(
            [sys.executable, "-m", "yoloscope.app.services.audits.worker"],
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the service, which stops the worker
        )
        assert process.stdin is not None
        process.stdin.write(self._settings.model_dump_json() + "\n")
        process.stdin.flush()
        return process

    @staticmethod
    def _reap(process: subprocess.Popen[str]) -> int:
        status = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return status


class AuditService:
    """Opens the database of audits and has its jobs worked on; raises ConfigError or StorageError where it cannot."""

    def __init__(self, settings: Settings) -> None:
        try:
            settings.audits_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"expected to write into YOLOSCOPE_AUDITS_DIR, got: {error.strerror or error}"
            ) from error
        self._settings = settings
        self._database = Database(settings.audits_url)
        self.jobs = AuditJobs(self._database, settings.max_open_audits)
        self.worker = WorkerSupervisor(settings, self.jobs.has_open)

    @cached_property
    def corrector(self) -> Corrector:
        """What makes corrected copies."""
        from yoloscope.app.services.audits.correction import Corrector  # noqa: PLC0415 - data sets, for those alone

        settings = self._settings
        limits = ArchiveLimits(settings.max_audit_files, settings.max_audit_unpacked_bytes)
        return Corrector(settings.audits_dir, limits)

    def close(self) -> None:
        """Stop the worker, whose job is given back to the queue, and close the database."""
        self.worker.stop(self._settings.shutdown_grace_s)
        self._database.close()
