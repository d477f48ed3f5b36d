"""A small data set on disk and a report of findings in it, with hostile names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.training.data.datasets.folders import write_image, write_text
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.diagnostics.findings import (
    AuditReport,
    Finding,
    FindingKind,
    LabelFlag,
    SkippedImage,
    Suggestion,
)

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_FILE = "images/<b>&\"c'.png"


def finding(
    kind: FindingKind,
    image: str,
    index: int | None,
    name: str,
    box: tuple[float, float, float, float],
    suggestion: tuple[str, tuple[float, float, float, float]] | None,
    probability: float,
    reason: str = "the model is sure",
) -> Finding:
    proposed = Suggestion(*suggestion) if suggestion else None
    return Finding(image, kind, index, name, box, proposed, probability, 1.25, reason)


FINDINGS = (
    finding("missing", "images/a.png", None, "cat", (4, 3, 12, 9), ("cat", (4, 3, 12, 9)), 0.97),
    finding("class", "images/a.png", 1, "dog", (20, 15, 40, 30), ("cat", (20, 15, 40, 30)), 0.9),
    finding("spurious", HOSTILE_FILE, 0, HOSTILE, (0, 0, 8, 6), None, 0.8, f"nothing there {HOSTILE}"),
    finding("location", "images/a.png", 0, "cat", (5, 5, 10, 10), ("cat", (4, 3, 12, 9)), 0.7),
    finding("missing", "images/gone.png", None, "dog", (1, 1, 9, 9), ("dog", (1, 1, 9, 9)), 0.6),
)


def report_of(findings: Sequence[Finding] = FINDINGS, *, data: str = "pets", split: str | None = None) -> AuditReport:
    return AuditReport(
        model="builtin",
        version="abc",
        data=data,
        split=split,
        num_images=2,
        num_labels=3,
        seen_by_model=True,
        prevalence={"missing": 0.1, "class": 0.03, "location": 0.03, "spurious": 0.03},
        floor=0.05,
        notes=("one note",),
        findings=tuple(findings),
        flags=(LabelFlag(HOSTILE_FILE, "tiny", 0, HOSTILE, (0, 0, 0.5, 6), "under a pixel", "it cannot be learned"),),
        skipped=(SkippedImage("images/c.png", "not an image"),),
    )


def open_pets(root: Path) -> DetectionDataset:
    """Two images of 40x30 pixels; a has the labels cat and dog, the other one a dog."""
    for name in ("images/a.png", HOSTILE_FILE):
        write_image(root / name)
    write_text(root / "labels/a.txt", "0 0.1875 0.25 0.125 0.1666666667\n1 0.75 0.75 0.5 0.5\n")
    write_text((root / HOSTILE_FILE.replace("images", "labels")).with_suffix(".txt"), "1 0.1 0.1 0.2 0.2\n")
    write_text(root / "classes.txt", "cat\ndog\n")
    return open_dataset(root)
