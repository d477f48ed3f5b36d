"""An audit image by image: progress that survives an interruption, and the calibration it needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from yoloscope.models.errors import ConfigError, DatasetError, ImageError, OutputError
from yoloscope.models.files import write_text
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.calibrate import VIEWS, CalibrationImage, calibrate
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.views import HeadsDetector, detect_views

CHUNK: Final = 16
"""Images that are judged at once, between two checkpoints, and before a job is seen to be canceled."""
MAX_CALIBRATION_IMAGES: Final = 512

Judge = Callable[[Sequence[LabeledImage]], list[ImageAudit]]


class AuditLog:
    """Audits of images that are done, one line of JSON each, in a file that an interrupted audit goes on from.

    ``conditions`` is what the audits depend on: model, calibration, floor, images and labels. Raises ConfigError where
    the file was written under other ones. Lines that were cut off or damaged are dropped.
    """

    def __init__(self, path: Path, conditions: Mapping[str, object]) -> None:
        header = json.dumps(conditions, sort_keys=True)
        self.done = _read_log(path, header)
        write_text(path, "".join(f"{line}\n" for line in (header, *(one.to_json() for one in self.done.values()))))
        self._path, self._file = path, path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, audits: Sequence[ImageAudit]) -> None:
        """Write the audits of some images to the disk."""
        try:
            self._file.write("".join(audit.to_json() + "\n" for audit in audits))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        self.done.update((audit.image, audit) for audit in audits)

    def close(self) -> None:
        """Close the file; what a full disk did not take is lost."""
        with suppress(OSError):
            self._file.close()


def _read_log(path: Path, header: str) -> dict[str, ImageAudit]:
    """Return the whole lines of a log by image; raise ConfigError where its header is another one."""
    if not path.exists():
        return {}
    header_read, newline, rest = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if not newline:
        return {}
    if header_read != header:
        raise ConfigError(f"{path} belongs to an audit of another model, data set or setting; choose another --output")
    done = {}
    for line in rest.split("\n")[:-1]:
        try:
            audit = ImageAudit.from_json(line)
        except (ValueError, KeyError, TypeError):
            continue
        done[audit.image] = audit
    return done


def audit_images(
    judge: Judge, images: Sequence[LabeledImage], names: Sequence[str], log: AuditLog | None = None
) -> Iterator[ImageAudit]:
    """Yield the audit of each image in order; ``names`` are theirs, and those in the log are not judged again.

    Images are judged in parts of ``CHUNK``, the same ones before and after an interruption: the last digit of a gain
    may depend on the part.
    """
    done = {} if log is None else dict(log.done)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        if all(name in done for name in names[part]):
            yield from (done[name] for name in names[part])
            continue
        audits = judge(images[part])
        if log is not None:
            log.add([audit for audit in audits if audit.image not in done])
        yield from audits


def fitted_here(calibration: AuditCalibration) -> str:
    """Return the note on a report whose model has no calibration of its own, so that one was fitted to the data."""
    return (
        f"The model has no calibration of its own: probabilities were fitted to the {calibration.labels} labels of "
        f"{calibration.images} of these images."
    )


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
