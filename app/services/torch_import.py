"""PyTorch's import while a service is at work: its library is loaded without Python's lock, which others need."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

_LIBRARY: Final = "libtorch_cpu.so"
"""Some 400 MB; nothing in it calls Python."""


def import_torch() -> None:
    """Import PyTorch, whose first import takes a second; call it in a thread that no other request waits for.

    Python holds its lock while it loads a library, so that for half a second nothing would be answered. A function of
    C called by ctypes does not hold it, and a library that is there already is not loaded again.
    """
    if "torch" not in sys.modules and sys.platform == "linux":
        found = importlib.util.find_spec("torch")
        for folder in (found and found.submodule_search_locations) or ():
            ctypes.CDLL(None).dlopen(os.fsencode(Path(folder, "lib", _LIBRARY)), os.RTLD_NOW)
    import torch  # noqa: F401, PLC0415 - what this is for
