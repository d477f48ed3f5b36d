"""An audit image by image: progress that survives an interruption, and the calibration it needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from yoloscope.models.errors import ConfigError, DatasetError, ImageError, OutputError
from yoloscope.models.files import atomic_write
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.calibrate import VIEWS, CalibrationImage, calibrate
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.views import HeadsDetector, View, detect_views

CHUNK: Final = 16
"""Images that are judged at once, between two checkpoints, and before a job is seen to be canceled."""
MAX_CALIBRATION_IMAGES: Final = 512

Judge = Callable[[Sequence[LabeledImage]], list[ImageAudit]]


class AuditLog:
    """Audits of images that are done, one line of JSON each, in a file that an interrupted audit goes on from.

    ``conditions`` is what the audits depend on: model, calibration, floor, images and labels. Raises ConfigError where
    the file was written under other ones. Lines that were cut off or damaged are dropped. ``done`` has the place of an
    image's line in the file; the audits stay there.
    """

    def __init__(self, path: Path, conditions: Mapping[str, object]) -> None:
        header = json.dumps(conditions, sort_keys=True)
        self.done: dict[str, int] = {}
        with atomic_write(path) as temporary, temporary.open("wb") as kept:
            kept.write(f"{header}\n".encode())
            for audit, line in _read_log(path, header):
                self.done[audit.image] = kept.tell()
                kept.write(line)
        self._path, self._file = path, path.open("r+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, audits: Sequence[ImageAudit]) -> None:
        """Write the audits of some images to the disk."""
        places = {}
        try:
            place = self._file.seek(0, os.SEEK_END)
            for audit in audits:
                places[audit.image] = place
                place += self._file.write(f"{audit.to_json()}\n".encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        self.done |= places

    def read(self, image: str) -> ImageAudit:
        """Return the audit of an image that is done."""
        self._file.seek(self.done[image])
        return ImageAudit.from_json(self._file.readline().decode())

    def close(self) -> None:
        """Close the file; what a full disk did not take is lost."""
        with suppress(OSError):
            self._file.close()


def _read_log(path: Path, header: str) -> Iterator[tuple[ImageAudit, bytes]]:
    """Yield the audits of the whole lines of a log; raise ConfigError where its header is another one."""
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return
        if first != f"{header}\n".encode():
            raise ConfigError(
                f"{path} belongs to an audit of another model, data set or setting; choose another --output"
            )
        for line in file:
            try:
                audit = ImageAudit.from_json(line.decode())
            except (ValueError, KeyError, TypeError):
                continue
            if line.endswith(b"\n"):
                yield audit, line


def audit_images(
    judge: Judge, images: Sequence[LabeledImage], names: Sequence[str], log: AuditLog | None = None
) -> Iterator[ImageAudit]:
    """Yield the audit of each image in order; ``names`` are theirs, and those in the log are not judged again.

    Images are judged in parts of ``CHUNK``, the same ones before and after an interruption: the last digit of a gain
    may depend on the part.
    """
    done = frozenset() if log is None else frozenset(log.done)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        if log is not None and done.issuperset(names[part]):
            yield from map(log.read, names[part])
            continue
        audits = judge(images[part])
        if log is not None:
            log.add([audit for audit in audits if audit.image not in done])
        yield from audits


def fitted_here(calibration: AuditCalibration) -> str:
    """Return the note on a report whose model has no such calibration of its own: one was fitted to the data."""
    kind = " for tiles" if "tiled" in calibration.views else ""
    return (
        f"The model has no calibration{kind} of its own: probabilities were fitted to the {calibration.labels} labels "
        f"of {calibration.images} of these images."
    )


def calibrate_on(
    detect_for: Callable[[LabeledImage], HeadsDetector],
    dataset: DetectionDataset,
    name: str,
    views: Sequence[View] = VIEWS,
) -> AuditCalibration:
    """Fit the calibration of an audit to (at most 512, evenly spread) images of a data set with the model's classes.

    ``detect_for`` gives the detector of an image, which has not learned from it where that is possible. Images that
    cannot be read are left out. Raises DatasetError where there are too few labels.
    """
    step = max(1, -(-len(dataset.images) // MAX_CALIBRATION_IMAGES))
    found = []
    for image in dataset.images[::step]:
        try:
            detected = detect_views(detect_for(image), image.read(), views)
        except (ImageError, DatasetError):
            continue
        found.append(CalibrationImage(image.labels, detected.without_heads()))
    return calibrate(found, dataset.class_names, name, views=views)
