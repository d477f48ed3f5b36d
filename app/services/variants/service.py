"""Variants of the models that are served: made in a process of its own, opened when they are ready, then swapped in.

The service answers in fp32 until then, and goes on with it where making, opening or running a variant fails.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from yoloscope.app.services.variants.detectors import open_variant
from yoloscope.app.services.variants.folders import mark_used
from yoloscope.app.services.variants.report import Variant, VariantReport, choose, read_report, variants_folder
from yoloscope.models.errors import YoloscopeError

if TYPE_CHECKING:
    from yoloscope.app.services.runtime import Runtime
    from yoloscope.app.settings import Settings

State = Literal["fp32", "preparing", "ready", "failed"]
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class VariantStatus:
    """The variant of a model that detects now (None: fp32), why, and the figures of all variants once there are any."""

    state: State
    reason: str
    variant: Variant | None = None
    report: VariantReport | None = None


class Variants:
    """Prepares the variants of models one after another, on a thread that is started by the first. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: SimpleQueue[tuple[str, Runtime] | None] = SimpleQueue()
        self._statuses: dict[str, VariantStatus] = {}
        self._lock = Lock()
        self._thread: Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._preparing = False

    @property
    def busy(self) -> bool:
        """Whether a variant is being made or opened."""
        return self._preparing

    def prepare(self, name: str, runtime: Runtime) -> None:
        """Have the variant of a model that was loaded opened, and made before if it must be; returns at once."""
        status = self._statuses[name] = self._first_status(runtime)
        if status.state == "fp32":
            return
        with self._lock:
            if self._closed:
                return
            self._queue.put((name, runtime))
            if self._thread is None:
                self._thread = Thread(target=self._work, name="variants", daemon=True)
                self._thread.start()

    def status(self, name: str, runtime: Runtime) -> VariantStatus:
        """Return the state of a model's variant."""
        status = self._statuses.get(name) or self._first_status(runtime)
        if status.state == "ready" and runtime.variant is None:
            return replace(status, state="failed", variant=None, reason="the variant failed when it ran, see the log")
        return status

    def close(self) -> None:
        """Stop the thread and the process that makes a variant."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
            if self._process is not None:
                self._process.terminate()

    def _first_status(self, runtime: Runtime) -> VariantStatus:
        against = self._reason_against(runtime)
        if against is not None:
            return VariantStatus("fp32", against)
        return VariantStatus("preparing", "a faster variant is being made or opened")

    def _reason_against(self, runtime: Runtime) -> str | None:
        settings = self._settings
        if settings.precision == "fp32":
            return "the setting precision is fp32"
        if runtime.provider != "cpu":
            return f"it runs on {runtime.provider}, and variants are for CPUs"
        if runtime.spec.precision is not None:
            return f"its file is in {runtime.spec.precision.kind} already"
        if settings.calibration_data is None and settings.precision != "bf16":
            return "there are no images to measure a variant on: the setting calibration_data names none"
        return None

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            name, runtime = item
            self._preparing = True
            try:
                self._statuses[name] = self._prepared(name, runtime)
            except (YoloscopeError, OSError) as error:
                _LOGGER.error("the model %r stays in fp32: %s", name, error)  # noqa: TRY400 - the words say it
                self._statuses[name] = VariantStatus("failed", "its variant could not be made or opened, see the log")
            except Exception:
                _LOGGER.exception("the model %r stays in fp32", name)
                self._statuses[name] = VariantStatus("failed", "its variant could not be made or opened, see the log")
            finally:
                self._preparing = False

    def _prepared(self, name: str, runtime: Runtime) -> VariantStatus:
        """Make the variants if they are not there, choose one, run it once and swap it in."""
        settings = self._settings
        folder = variants_folder(settings.models_dir, runtime.sha256, settings.calibration_data, settings.threads)
        report = read_report(folder)
        if report is None:
            _LOGGER.info("the model %r is served in fp32 while its variants are being made", name)
            self._make(runtime.path)
            report = read_report(folder)
        if report is None or report.sha256 != runtime.sha256:
            raise _MakingFailedError("the model's file or the images changed meanwhile")
        variant, why = choose(report, settings.precision, settings.max_ap_drop)
        if variant is None:
            _LOGGER.info("the model %r stays in fp32: %s", name, why)
            return VariantStatus("fp32", why, None, report)
        mark_used(folder)
        detector = open_variant(folder, variant.precision, variant.engine, runtime.spec, settings.threads)
        nms, spec = runtime.spec.nms, runtime.spec
        gray = np.full((1, spec.input_height, spec.input_width, spec.image_planes), 127, np.uint8)
        detector.detect(gray, [nms.score_threshold], [nms.iou_threshold])
        runtime.variant = detector
        _LOGGER.info("the model %r runs %s: %s", name, variant.name, why)
        return VariantStatus("ready", why, variant, report)

    def _make(self, artifact: Path) -> None:
        """Run ``yoloscope quantize`` at the lowest priority; it ends with this process, whose end of stdin it watches.

        It is a process of its own because it needs the exporter and much memory. Raises _MakingFailedError.
        """
        settings = self._settings
        command = [sys.executable, "-P", "-m", "yoloscope.app.cli", "quantize", str(artifact), "--background"]
        environment = {
            **os.environ,
            "YOLOSCOPE_MODELS_DIR": str(settings.models_dir),
            "YOLOSCOPE_THREADS": str(settings.threads),
        }
        if settings.calibration_data is not None:
            environment["YOLOSCOPE_CALIBRATION_DATA"] = str(settings.calibration_data)
        with self._lock:
            if self._closed:
                raise _MakingFailedError("the service is stopping")
            self._process = subprocess.Popen(  # noqa: S603 (our own)
                command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        with self._process as process:
            assert process.stderr is not None
            said = process.stderr.read()
        with self._lock:
            self._process = None
        if process.returncode:
            raise _MakingFailedError(_last_line(said) or f"the process that makes it ended with {process.returncode}")


class _MakingFailedError(YoloscopeError):
    """A variant could not be made; the message is for the log."""


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "").removeprefix("yoloscope: ")
