"""Train, serve and explain YOLO detectors (v1 to v4).

    import yoloscope

    model = yoloscope.load("builtin")
    result = model.detect("blood.jpg")  # boxes in pixels, scores, class names
    loss = model.score("blood.jpg", "blood.xml")  # what each label costs, and why
    report = yoloscope.audit("cells", split="train")  # labels that are probably wrong

``load``, ``evaluate``, ``train``, ``export``, ``audit`` and ``mend`` are documented in ``api``, ``training_api`` and
``audit_api``, ``compute_loss`` in ``training.losses``. Each is imported when it is first used, so that
``import yoloscope`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yoloscope.api import DetectionResult, Model, evaluate, load
    from yoloscope.audit_api import audit, mend
    from yoloscope.training.losses import compute_loss
    from yoloscope.training_api import export, train

__version__: str
__all__ = [
    "DetectionResult",
    "Model",
    "__version__",
    "audit",
    "compute_loss",
    "evaluate",
    "export",
    "load",
    "mend",
    "train",
]

_HOMES = {
    "DetectionResult": "yoloscope.api",
    "Model": "yoloscope.api",
    "audit": "yoloscope.audit_api",
    "compute_loss": "yoloscope.training.losses",
    "evaluate": "yoloscope.api",
    "export": "yoloscope.training_api",
    "load": "yoloscope.api",
    "mend": "yoloscope.audit_api",
    "train": "yoloscope.training_api",
}


def __getattr__(name: str) -> object:
    """Import a name of the public interface on first use."""
    value: object
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("yoloscope")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'yoloscope' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
