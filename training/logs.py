"""Python logging of a training run: its logger ``yoloscope.training`` and how the lines are shown.

Loggers below it, as a search's, are shown alike, without the prefix of a run and where runs are silent.
``logging.basicConfig(level="INFO")`` shows them in a notebook; the command line uses ``log_to_stderr``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LOGGER: Final = logging.getLogger("yoloscope.training")


class StderrHandler(logging.Handler):
    """Logging handler that writes bare messages to standard error as it is at that moment: above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record."""
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()


@contextmanager
def log_to(handler: logging.Handler) -> Iterator[None]:
    """Send the lines of level INFO and above to ``handler`` in a with block, and to no other handler."""
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show the lines on standard error in a with block."""
    with log_to(StderrHandler()):
        yield


@contextmanager
def log_prefix(prefix: str) -> Iterator[None]:
    """Put ``prefix`` in front of all lines in a with block, as the number of a teacher."""

    def prefixed(record: logging.LogRecord) -> bool:
        record.msg = f"{prefix}{record.msg}"
        return True

    with _filtered(prefixed):
        yield


@contextmanager
def no_log() -> Iterator[None]:
    """Drop the lines of runs in a with block: on ranks other than the first, and in a search, which has its own."""
    with _filtered(lambda _record: False):
        yield


@contextmanager
def _filtered(passes: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    LOGGER.addFilter(passes)
    try:
        yield
    finally:
        LOGGER.removeFilter(passes)
