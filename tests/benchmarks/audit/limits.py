"""How well two annotations of the same cells agree: ``python -m tests.benchmarks.audit.limits``.

AP is a mean over overlaps of .5 to .95. What no annotator repeats no training on such labels can be measured by.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.audit.mending import reviewed
from tests.benchmarks.audit.peers import Floats, iou
from tests.benchmarks.report import heading
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.evaluation.evaluate import evaluate

OVERLAPS = np.arange(0.5, 0.951, 0.05)


def overlaps(published: DetectionDataset, second: DetectionDataset) -> Floats:
    """Return the overlap of each published label with its partner in the second annotation, .5 at least."""
    own = {image.path: image.labels.boxes_xyxy_px.reshape(-1, 4) for image in published.images}
    best = [
        iou(own[image.path], image.labels.boxes_xyxy_px.reshape(-1, 4)).max(1, initial=0.0) for image in second.images
    ]
    found = np.concatenate(best)
    return np.asarray(found[found >= OVERLAPS[0]], np.float64)


def main() -> int:
    """Print the agreement of both annotations by overlap, and the AP of a model on the second one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--model", type=Path, default=BUILTIN)
    options = parser.parse_args()
    data = options.shared / "data"
    published = open_dataset(data / "bccd", "val")
    second = reviewed(published, data / "bccd-reviewed")
    found = overlaps(published, second)
    shares = [float((found >= overlap).mean()) for overlap in OVERLAPS]
    print(heading("BCCD (val): published labels against their partners in the second annotation", "torch"))
    print(f"{len(found)} labels with a partner; the share that overlaps it by at least")
    print("  ".join(f"{overlap:.2f}: {share:.3f}" for overlap, share in zip(OVERLAPS, shares, strict=True)))
    print(f"mean of these shares: {np.mean(shares):.3f}")
    numbers = evaluate(Runtime(options.model, "cpu", 1), second).coco.numbers
    print(
        f"model {options.model.stem} on the second annotation: AP {numbers['AP']:.3f}  AP50 {numbers['AP50']:.3f}  "
        f"AP75 {numbers['AP75']:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
