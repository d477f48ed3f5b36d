"""The onnxruntime sessions of an artifact: two on a CPU, of all threads and of half of them, or one on CUDA."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, TypeAlias

import onnxruntime
from numpy.typing import NDArray

from yoloscope.models.cpu import available_cpus
from yoloscope.models.errors import ModelLoadError, ProviderError
from yoloscope.models.session import CUDA, CUDA_GRAPH_VERSION, open_session, run_bound

Provider: TypeAlias = Literal["auto", "cuda", "cpu"]
Feeds: TypeAlias = dict[str, NDArray[Any]]

_CPU: Final = "CPUExecutionProvider"
CUDA_OPTIONS: Final = {
    "arena_extend_strategy": "kSameAsRequested",
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
}
"""TF32 would move scores in the third digit."""
_RUNS_PER_SHRINKAGE: Final = 1000
"""On a GPU: images with other numbers of candidates ask for blocks of other sizes, so the arena would creep."""
_MOST_BYTES_TWICE: Final = 2**26

logger = logging.getLogger(__name__)


class CpuSessions:
    """A session of all threads and, once it is opened, one of half of them, for runs beside each other.

    Threads that wait for each other at every layer cost a tenth of a run, which nobody pays where two run at once:
    ``at_once`` says how many runs with ``half`` are faster beside each other than one after the other. ``session``
    tells of inputs, outputs and metadata. Calls may come from any thread.
    """

    provider: Literal["cpu", "cuda"] = "cpu"

    def __init__(self, path: Path, threads: int) -> None:
        self.session = open_session(path, [_CPU], threads)
        self.at_once = 1 if threads == 1 else 2
        self._half: onnxruntime.InferenceSession | None = None
        self._path = path
        self._threads = threads

    def run(self, outputs: list[str], feeds: Feeds, *, half: bool = False) -> list[NDArray[Any]]:
        """Return outputs by name."""
        session = self._half if half and self._half is not None else self.session
        results: list[NDArray[Any]] = session.run(outputs, feeds)
        return results

    def open_half(self, feeds: Feeds, is_same_file: Callable[[], bool]) -> None:
        """Open the session of half the threads and run it once; a file of over 64 MiB is not held in memory twice.

        May be called while others call ``run``. Raises ModelLoadError where the file is another one by now.
        """
        if self.at_once > 1 and self._path.stat().st_size <= _MOST_BYTES_TWICE:
            session = open_session(self._path, [_CPU], ((self._threads or available_cpus()) + 1) // 2)
            if not is_same_file():
                raise ModelLoadError(f"expected the model that was opened at {self._path}, got another one")
            session.run(None, feeds)
            self._half = session


class CudaSession:
    """A session on CUDA, one run at a time; calls may come from any thread."""

    provider: Literal["cpu", "cuda"] = "cuda"
    at_once = 1

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        self._one_run = Lock()
        self._runs = 0

    def run(self, outputs: list[str], feeds: Feeds, *, half: bool = False) -> list[NDArray[Any]]:  # noqa: ARG002
        """Return outputs by name."""
        with self._one_run:
            self._runs += 1
            return run_bound(self.session, outputs, feeds, "cuda", shrink_arena=self._runs % _RUNS_PER_SHRINKAGE == 0)

    def open_half(self, feeds: Feeds, is_same_file: Callable[[], bool]) -> None:
        """Do nothing: there are no halves."""


def open_sessions(path: Path, provider: Provider, threads: int) -> CpuSessions | CudaSession:
    """Open an artifact on ``cuda`` or ``cpu``, judged by the provider at work: what is installed says nothing.

    ``auto`` takes CUDA where it works. Raises ProviderError where ``cuda`` was asked for and does not, ModelLoadError
    for a file that cannot be opened there.
    """
    wanted = provider == "cuda" or (provider == "auto" and _has_cuda_driver())
    if not wanted:
        return CpuSessions(path, threads)
    _preload_cuda_libraries()
    session = open_session(path, [(CUDA, CUDA_OPTIONS), _CPU], threads)
    at_work = session.get_providers()[0]
    if at_work == CUDA and session.get_modelmeta().version >= CUDA_GRAPH_VERSION:
        return CudaSession(session)
    if at_work == CUDA:
        said = f"expected a file that CUDA can run, got {path}, which an earlier version wrote: write it anew by export"
        if provider == "cuda":
            raise ModelLoadError(said, "an earlier version wrote its file, which CUDA cannot run")
        logger.warning("%s; running on the CPU", said)
    elif provider == "cuda":
        raise ProviderError(
            f"expected the model to run on {CUDA}, got {at_work}: check the driver (CUDA 13 needs 580 or newer) and "
            "install the libraries with pip install 'yoloscope[cuda]', or choose the provider auto or cpu"
        )
    else:
        logger.warning("a CUDA driver is present but CUDA could not be used; running on %s", at_work)
    return CpuSessions(path, threads)


def _has_cuda_driver() -> bool:
    if CUDA not in onnxruntime.get_available_providers():
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _preload_cuda_libraries() -> None:
    """Load the CUDA libraries that pip installed; what onnxruntime says about it goes to the log."""
    said = StringIO()
    with redirect_stdout(said):
        onnxruntime.preload_dlls()
    if said.getvalue():
        logger.info("loading the CUDA libraries: %s", said.getvalue().strip())
