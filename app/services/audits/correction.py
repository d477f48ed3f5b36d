"""Corrected copies of data sets that somebody uploads: the accepted findings of an audit, applied to its zip."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore
from typing import IO, BinaryIO, Final, cast

from yoloscope.app.services.audits.archive import ArchiveLimits, check_archive, unpack_archive, without_folder
from yoloscope.app.services.audits.options import CorrectedContent
from yoloscope.models.errors import BusyError, DatasetError, OutputError, StorageError
from yoloscope.models.images import SUFFIXES
from yoloscope.models.scratch import scratch_folder, unnamed_file
from yoloscope.training.diagnostics.decisions import Decisions
from yoloscope.training.diagnostics.mending import Mended, NewClasses, mend

_PART_BYTES: Final = 2**20
_MOST_AT_ONCE: Final = 2
"""Corrections that are at work, each with a data set unpacked twice on the disk."""


@dataclass(frozen=True)
class Correction:
    """A zip of the data set ``name`` that is yet to be checked, decisions.json, and what is wanted of the result."""

    file: BinaryIO
    name: str
    decisions: bytes
    content: CorrectedContent
    new_classes: NewClasses


@dataclass(frozen=True)
class CorrectedZip:
    """A zip without a name on the disk, which is gone when it is closed, and what differs from the original."""

    file: BinaryIO
    mended: Mended

    def parts(self) -> Iterator[bytes]:
        """Yield the zip in parts; it is closed after the last."""
        with self.file:
            while part := self.file.read(_PART_BYTES):
                yield part


class Corrector:
    """Corrects uploads in folders below ``audits_dir``, few at once; thread-safe."""

    def __init__(self, audits_dir: Path, limits: ArchiveLimits) -> None:
        self._audits_dir = audits_dir
        self._limits = limits
        self._room = BoundedSemaphore(_MOST_AT_ONCE)

    def correct(self, correction: Correction) -> CorrectedZip:
        """Return the corrected data set as a zip with the paths of the original's.

        Raises what ``check_archive`` does, DatasetError where decisions or data set cannot be read or do not fit each
        other, BusyError where others are at work, and StorageError where there is no room.
        """
        if not self._room.acquire(blocking=False):
            raise BusyError(f"expected fewer than {_MOST_AT_ONCE} corrections at work, got one more; retry later")
        try:
            return self._correct(correction)
        except (OSError, OutputError) as error:
            raise StorageError(f"expected room for a corrected copy, got: {error}") from error
        finally:
            self._room.release()

    def _correct(self, correction: Correction) -> CorrectedZip:
        decisions = Decisions.from_json(correction.decisions)
        check_archive(correction.file, self._limits)
        with scratch_folder(self._audits_dir) as folder:
            data, copy = folder / correction.name, folder / f"{correction.name}.corrected"
            unpack_archive(correction.file, data, self._limits)
            try:
                mended = mend(
                    decisions.accepted,
                    data,
                    copy,
                    split=decisions.split,
                    images="link",
                    new_classes=correction.new_classes,
                    within=data,
                )
            except (DatasetError, OutputError) as error:
                raise type(error)(without_folder(str(error), folder)) from error
            whole = correction.content == "data"
            names = [path.relative_to(copy).as_posix() for path in sorted(copy.rglob("*")) if path.is_file()]
            return CorrectedZip(_zip(copy, names if whole else mended.files, self._audits_dir), mended)


def _zip(folder: Path, names: list[str] | tuple[str, ...], home: Path) -> BinaryIO:
    """Return the named files as a zip; equal files give equal bytes. Images are stored as they are."""
    file = unnamed_file(home)
    try:
        with zipfile.ZipFile(cast("IO[bytes]", file), "w") as archive:
            for name in names:
                entry = zipfile.ZipInfo(name)
                stored = PurePosixPath(name).suffix.lower() in SUFFIXES
                entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                entry.file_size = (folder / name).stat().st_size
                with (folder / name).open("rb") as source, archive.open(entry, "w") as target:
                    while piece := source.read(_PART_BYTES):
                        target.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
