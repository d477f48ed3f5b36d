"""Huge pages for the large blocks of the C library, as those of decoded images; glibc takes them if told at its start.

A photo of 12 megapixels is decoded into 48 MB, which come from the system page by page: of 4 KiB that takes long.
"""

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


def ask_for_large_pages(environment: MutableMapping[str, str], mode: Path = _MODE) -> None:
    """Start this program anew with ``GLIBC_TUNABLES``, where the system gives huge pages to those that ask alone.

    Not where the arguments are not those of the command line, as in a program that calls another one's main function.
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
