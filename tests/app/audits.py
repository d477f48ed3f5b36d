"""Small data sets as zips, a model to audit them with, and jobs without a service."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from tests.app.artifact import CLASS_NAMES, tiny_spec, write_tiny_artifact
from tests.helpers.images import encoded
from yoloscope.app.services.audits.jobs import AuditJob, AuditJobs, Submission
from yoloscope.app.services.audits.options import AuditOptions
from yoloscope.app.services.audits.queue import JobQueue
from yoloscope.models import zoo
from yoloscope.training.diagnostics.findings import Finding, FindingKind, ImageAudit, Suggestion
from yoloscope.training.export.artifact import read_artifact

MODEL = "judge"
OPTIONS = AuditOptions(model=MODEL, split=None, floor=0.05, prevalence={}).model_dump_json()


def write_judge(folder: Path) -> Path:
    """Write a tiny model that has a calibration (the built-in one's, which also has three classes)."""
    _, builtin = read_artifact(zoo.BUILTIN)
    spec = tiny_spec(MODEL).model_copy(update={"calibration": builtin.calibration})
    return write_tiny_artifact(folder / f"{MODEL}.onnx", spec.to_json())


def zip_of(files: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return memory.getvalue()


def yolo_files(count: int, part: str = "") -> list[tuple[str, bytes]]:
    """Images of rising brightness with one label each, cat or dog, in YOLO's layout; ``part`` is as ``train/``."""
    files = [("classes.txt", "\n".join(CLASS_NAMES).encode())]
    for number in range(count):
        image = Image.new("RGB", (64, 48), (number * 7 % 256, 90, 40))
        files.append((f"images/{part}{number:03d}.png", encoded(image)))
        files.append((f"labels/{part}{number:03d}.txt", f"{number % 2} .4 .5 .3 .4\n".encode()))
    return files


def yolo_zip(count: int) -> bytes:
    return zip_of(yolo_files(count))


NO_CLASSES = zip_of([("images/a.png", b""), ("labels/a.txt", b"0 .5 .5 .1 .1")])
UNKNOWN_CLASS = zip_of([("classes.txt", b"zebra"), *yolo_files(1)[1:]])
NO_LABELS = zip_of([*yolo_files(1)[:2], ("labels/000.txt", b"")])


def submit(jobs: AuditJobs, data: bytes = b"PK", key: str | None = None, options: str = OPTIONS) -> AuditJob:
    return jobs.submit(Submission(io.BytesIO(data), "cells", options, key))


def split(queue: JobQueue, job_id: str, images: int, size: int = 1) -> None:
    """Split a claimed job into shards; its results are those of "a model"."""
    queue.set_conditions(job_id, "a model")
    queue.split(job_id, images, size)


def image_audit(image: str, *findings: tuple[FindingKind, float]) -> ImageAudit:
    """An audit whose findings have these kinds and probabilities, on labels 0, 1 and so on."""
    box = (1.0, 2.0, 3.5, 4.0)
    suggestion = Suggestion("cat", box)
    found = tuple(
        Finding(image, kind, index, "dog", box, suggestion, probability, 0.5, "why")
        for index, (kind, probability) in enumerate(findings)
    )
    return ImageAudit(image, len(findings), found, ())
