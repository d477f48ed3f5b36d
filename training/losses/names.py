"""Names of loss presets and of the details of a report, known without PyTorch."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Detail: TypeAlias = Literal["summary", "objects", "cells"]
"""How far a report goes, each with what the former has."""

PRESET_NAMES: Final = (
    "v1",
    "v2",
    "v3",
    "v4",
    "v1-walkthrough",
    "article-mse",
    "article-masked",
    "article-iou",
    "v1-darknet",
    "v2-darknet",
    "v2-pjreddie",
    "v3-darknet",
    "v3-pjreddie",
    "v4-darknet",
)
"""Those of ``PRESETS``, in its order."""
