"""The process of a command itself, made ready before anything else: its standard streams, and large pages of memory."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

TUNABLES: Final = "GLIBC_TUNABLES"
"""Set by whoever wants it otherwise (glibc, from 2.35 on)."""
_HUGE_PAGES: Final = "glibc.malloc.hugetlb=1"
_MODE: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def replace_closed_streams() -> None:
    """Have nothing in the place of standard streams that are closed, so that no file gets their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, number)
            if nothing != number:
                os.close(nothing)
            os.set_inheritable(number, True)  # noqa: FBT003 - its only argument
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def ask_for_large_pages(environment: MutableMapping[str, str], mode: Path = _MODE) -> None:
    """Start this program anew with ``GLIBC_TUNABLES``, where the system gives huge pages to those that ask alone.

    glibc takes them for large blocks if told at its start. A photo of 12 megapixels is decoded into 48 MB, which come
    from the system page by page: of 4 KiB that takes long. Not where the arguments are not those of the command line,
    as in a program that calls another one's main function.
    """
    words = sys.argv[1:]
    is_command_line = bool(words) and bool(sys.executable) and sys.orig_argv[-len(words) :] == words
    if TUNABLES in environment or not is_command_line or not _is_for_who_asks(mode):
        return
    environment[TUNABLES] = _HUGE_PAGES
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - this program itself


def _is_for_who_asks(mode: Path) -> bool:
    try:
        return "[madvise]" in mode.read_text()
    except OSError:
        return False
