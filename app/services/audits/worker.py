"""The process that works on audit jobs: ``python -m yoloscope.app.services.audits.worker``, settings on stdin.

It ends on SIGTERM or when its stdin closes, that is with the service, after the images at work; and after a while
without jobs. It may be killed at any time: another worker goes on from the last checkpoint.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from logging.config import dictConfig
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from yoloscope.app.request_log import log_config
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.queue import ClaimedJob, JobQueue, worker_name
from yoloscope.app.services.audits.shards import ShardQueue
from yoloscope.app.settings import Settings
from yoloscope.models.cpu import run_at_lowest_priority
from yoloscope.models.errors import JobError, ModelError, StorageError, YoloscopeError
from yoloscope.models.scratch import remove_abandoned, scratch_folder

if TYPE_CHECKING:
    from yoloscope.app.services.audits.run import JobRun

IDLE_S: Final = 20.0
"""How long a worker waits for the next job before it ends and frees its memory."""
_POLL_S: Final = 0.5

_LOGGER = logging.getLogger("yoloscope.app.services.audits.worker")  # run as a program its name is another


class Interrupted(Exception):  # noqa: N818 (no error: the worker was asked to stop)
    """The worker stops; the job goes on elsewhere or later."""


class Worker:
    """Takes jobs one by one, else helps at those of others, until it is to stop or there is none for ``idle_s``."""

    def __init__(self, settings: Settings, database: Database, stop: Event, idle_s: float = IDLE_S) -> None:
        self._settings = settings
        name = worker_name()
        self._queue = JobQueue(database, name, settings.audit_lease_s)
        self._shards = ShardQueue(database, name, settings.audit_lease_s)
        self._stop = stop
        self._idle_s = idle_s
        self._no_help: set[str] = set()

    def run(self) -> None:
        """Work until there is a reason to end."""
        idle_since = time.monotonic()
        while not self._stop.is_set():
            try:
                job = self._queue.claim()
                helped = None if job is not None else self._shards.find_job(self._no_help)
            except StorageError as error:
                _LOGGER.warning("audits: %s", error)
                job = helped = None
            if job is not None:
                self._work(job)
                idle_since = time.monotonic()
            elif helped is not None:
                self._help(helped)
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > self._idle_s:
                return
            else:
                self._stop.wait(_POLL_S)

    def _work(self, job: ClaimedJob) -> None:
        def keep() -> None:
            self._queue.heartbeat(job.id)
            self._shards.heartbeat(job.id)

        try:
            with self._run(job, keep) as run:
                self._attempt(job, run)
        except StorageError as error:
            self._leave(job, error)

    def _help(self, job: ClaimedJob) -> None:
        """Judge some images of a job of another worker, to whom all else is left, and what fails here too."""
        try:
            with self._run(job, lambda: self._shards.heartbeat(job.id)) as run:
                try:
                    run.help()
                except Interrupted:
                    pass
                except YoloscopeError as error:
                    self._no_help.add(job.id)
                    _LOGGER.info("audit %s: no more help: %s", job.id, run.shown(str(error)))
                if run.judged:
                    _LOGGER.info("audit %s: helped, %d images judged here", job.id, run.judged)
        except StorageError as error:
            self._no_help.add(job.id)
            _LOGGER.info("audit %s: no help: %s", job.id, error)

    @contextmanager
    def _run(self, job: ClaimedJob, keep: Callable[[], None]) -> Iterator[JobRun]:
        """Give the work on a job a folder, and ``keep`` its leases while images are at work.

        Raises StorageError where no folder can be made.
        """
        from yoloscope.app.services.audits.run import JobRun  # noqa: PLC0415 - torch, for jobs alone

        lost, ended = Event(), Event()

        def check() -> None:
            if self._stop.is_set():
                raise Interrupted
            if lost.is_set():
                keep()  # raises why

        pulse = Thread(target=self._pulse, args=(job.id, keep, lost, ended), daemon=True)
        pulse.start()
        try:
            with ExitStack() as opened:
                try:
                    folder = opened.enter_context(scratch_folder(self._settings.audits_dir))
                except OSError as error:
                    raise StorageError(f"expected room for a folder, got: {error.strerror or error}") from error
                yield JobRun(self._queue, self._shards, job, self._settings, folder, check)
        finally:
            ended.set()
            pulse.join()

    def _attempt(self, job: ClaimedJob, run: JobRun) -> None:
        try:
            run.run()
            _LOGGER.info("audit %s: done, %d images judged here", job.id, run.judged)
        except Interrupted:
            self._release(job)
        except JobError as error:
            _LOGGER.info("audit %s: left: %s", job.id, error)
        except StorageError as error:
            self._leave(job, error)
        except ModelError:
            _LOGGER.exception("audit %s", job.id)
            self._fail(job, "the model cannot be served")
        except YoloscopeError as error:
            self._fail(job, run.shown(str(error)))

    def _leave(self, job: ClaimedJob, error: StorageError) -> None:
        """Wait until the lease of a job is over, so that another worker may take it first."""
        _LOGGER.warning("audit %s: to be tried again: %s", job.id, error)
        self._stop.wait(self._settings.audit_lease_s)

    def _pulse(self, job_id: str, keep: Callable[[], None], lost: Event, ended: Event) -> None:
        while not ended.wait(self._settings.audit_lease_s / 3):
            try:
                keep()
            except JobError:
                lost.set()
                return
            except StorageError as error:
                _LOGGER.warning("audit %s: no heartbeat: %s", job_id, error)

    def _release(self, job: ClaimedJob) -> None:
        try:
            self._queue.release(job.id)
        except (JobError, StorageError) as error:
            _LOGGER.info("audit %s: not given back: %s", job.id, error)

    def _fail(self, job: ClaimedJob, reason: str) -> None:
        _LOGGER.info("audit %s: failed: %s", job.id, reason)
        try:
            self._queue.fail(job.id, reason)
        except (JobError, StorageError) as error:
            _LOGGER.info("audit %s: left: %s", job.id, error)


def _wait_for_end_of_stdin(stop: Event) -> None:
    sys.stdin.read()
    stop.set()


def main() -> None:
    """Work with the settings of the first line of stdin."""
    settings = Settings.model_validate_json(sys.stdin.readline())
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_at_lowest_priority()
    dictConfig(log_config(settings.log_level))
    Thread(target=_wait_for_end_of_stdin, args=(stop,), daemon=True).start()
    remove_abandoned(settings.audits_dir)
    database = Database(settings.audits_url)
    try:
        Worker(settings, database, stop).run()
    finally:
        database.close()


if __name__ == "__main__":
    main()
