"""An audit image by image: progress that survives an interruption, and the calibration it needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from yoloscope.models.errors import ConfigError, DatasetError, ImageError
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.calibrate import VIEWS, CalibrationImage, calibrate
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.views import HeadsDetector, detect_views

CHUNK: Final = 16
MAX_CALIBRATION_IMAGES: Final = 512

Judge = Callable[[Sequence[LabeledImage]], list[ImageAudit]]


class AuditLog:
    """Audits of images that are done, one line of JSON each, in a file that an interrupted audit goes on from.

    ``conditions`` is what the audits depend on: model, calibration, floor. Raises ConfigError where the file was
    written under other ones. A line that was cut off is dropped.
    """

    def __init__(self, path: Path, conditions: dict[str, object]) -> None:
        self._path = path
        header = json.dumps(conditions, sort_keys=True)
        self.done: dict[str, ImageAudit] = {}
        kept = header + "\n"
        if path.exists():
            first, *lines = path.read_text(encoding="utf-8").split("\n")
            if first and first != header:
                raise ConfigError(
                    f"{path} belongs to an audit of another model, data set or setting; choose another --output"
                )
            whole = lines[:-1] if first else []
            for line in whole:
                audit = ImageAudit.from_json(line)
                self.done[audit.image] = audit
                kept += line + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._file.write(kept)
        self._file.flush()

    def add(self, audits: Sequence[ImageAudit]) -> None:
        """Write the audits of some images to the disk."""
        self._file.write("".join(audit.to_json() + "\n" for audit in audits))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done.update((audit.image, audit) for audit in audits)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def audit_images(
    judge: Judge, images: Sequence[LabeledImage], names: Sequence[str], log: AuditLog | None = None
) -> Iterator[ImageAudit]:
    """Yield the audit of each image, some at a time; those in the log are not judged again. ``names`` are theirs."""
    done = {} if log is None else dict(log.done)
    yield from (done[name] for name in names if name in done)
    open_images = [image for image, name in zip(images, names, strict=True) if name not in done]
    for start in range(0, len(open_images), CHUNK):
        audits = judge(open_images[start : start + CHUNK])
        if log is not None:
            log.add(audits)
        yield from audits


def calibrate_on(
    detect_for: Callable[[LabeledImage], HeadsDetector], dataset: DetectionDataset, name: str
) -> AuditCalibration:
    """Fit the calibration of an audit to (at most 512, evenly spread) images of a data set with the model's classes.

    ``detect_for`` gives the detector of an image, which has not learned from it where that is possible. Images that
    cannot be read are left out. Raises DatasetError where there are too few labels.
    """
    step = max(1, -(-len(dataset.images) // MAX_CALIBRATION_IMAGES))
    found = []
    for image in dataset.images[::step]:
        try:
            views = detect_views(detect_for(image), image.read(), VIEWS)
        except (ImageError, DatasetError):
            continue
        found.append(CalibrationImage(image.labels, views.without_heads()))
    return calibrate(found, dataset.class_names, name)
