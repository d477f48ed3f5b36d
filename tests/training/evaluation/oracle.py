"""pycocotools, which the project's numbers are checked against."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def pycocotools_numbers(truth: dict[str, Any] | Path, rows: list[dict[str, Any]]) -> tuple[list[float], NDArray[Any]]:
    """Return the twelve numbers and the precision tensor [T, R, K, A, M]."""
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(truth)) if isinstance(truth, Path) else COCO()
        if isinstance(truth, dict):
            reference.dataset = truth
            reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats], np.asarray(evaluation.eval["precision"])
