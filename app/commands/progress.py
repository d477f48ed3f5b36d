"""The progress bars of the commands."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def progress_bar(*columns: ProgressColumn, console: Console | None = None) -> Progress:
    """Return a bar on standard error that is gone when it is done, and not there at all where nobody watches."""
    return Progress(*columns, console=console or Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
