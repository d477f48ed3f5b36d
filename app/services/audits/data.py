"""Data sets of audit jobs: opened for the model that judges them, and tried when they are uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from yoloscope.app.services.audits.archive import ArchiveLimits, check_archive, unpack_archive, without_folder
from yoloscope.models.errors import DatasetError, StorageError
from yoloscope.models.scratch import scratch_folder
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.diagnostics.calibrate import LEAST_LABELS
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.losses import get_preset


def open_data(root: Path, split: str | None, spec: DetectorSpec) -> DetectionDataset:
    """Open a data set that somebody uploaded, with the classes of a model.

    Raises DatasetError where it cannot be read, has no labels, too few for a model without calibration, or classes that
    the model does not know; PresetError where the model has no loss.
    """
    get_preset(None, spec)
    dataset = open_dataset(root, split, within=root).for_model(spec.class_names)
    labels = sum(dataset.objects_per_class)
    least = 1 if AuditCalibration.of_spec(spec) else LEAST_LABELS
    if labels < least:
        problems = [f"{one.location}: {one.detail}" for one in dataset.problems[:1]]
        raise DatasetError(
            f"expected at least {least} labels to audit in {dataset.title}, got {labels} in {len(dataset)} images"
            + "".join(f"; {problem}" for problem in problems)
        )
    return dataset


def check_upload(
    file: BinaryIO, name: str, split: str | None, spec: DetectorSpec, limits: ArchiveLimits, audits_dir: Path
) -> None:
    """Unpack a zip and open its data set ``name``, as the job will; nothing of it is kept.

    Raises what ``check_archive`` and ``open_data`` do, and StorageError where there is no room.
    """
    check_archive(file, limits)
    try:
        with scratch_folder(audits_dir) as folder:
            unpack_archive(file, folder / name, limits)
            try:
                open_data(folder / name, split, spec)
            except DatasetError as error:
                raise DatasetError(without_folder(str(error), folder)) from error
    except OSError as error:
        raise StorageError(f"expected room to unpack an archive, got: {error.strerror or error}") from error
