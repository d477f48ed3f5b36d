"""Zips of data sets: checked before anything is written, and unpacked within limits."""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

from yoloscope.models.errors import ArchiveError, MediaTypeError, RequestTooLargeError, StorageError

MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""Begin of a zip, and of an empty one."""
_MAX_FILE_BYTES: Final = 512 * 1024 * 1024
_MAX_RATIO: Final = 200
_FREE_RATIO_BYTES: Final = 1024 * 1024
"""Size up to which any ratio is fine: a small file of zeros does no harm."""
_MAX_DEPTH: Final = 16
_MAX_NAME_BYTES: Final = 255
_BYTES_PER_ENTRY: Final = 512
"""Of the central directory, on average, at most: names are long in few data sets."""
_PIECE_BYTES: Final = 256 * 1024
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER_BYTES: Final = 30
_IMAGES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_LABELS: Final = (".json", ".xml", ".txt", ".yaml", ".yml", ".data")


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits on an archive: its files, and the bytes of all of them unpacked."""

    max_files: int
    max_unpacked_bytes: int


def check_archive(file: BinaryIO, limits: ArchiveLimits) -> None:
    """Read a zip to its end without writing anything.

    Raises MediaTypeError for another kind of file, RequestTooLargeError over a limit, and ArchiveError for a broken,
    encrypted or hostile one, or one that holds no images or no labels.
    """
    with _open(file, limits) as archive:
        names = set()
        for name, entry in _entries(archive, limits):
            names.add(name.lower())
            for _ in _pieces(archive, entry):
                pass
    for kind, endings in (("images", _IMAGES), ("labels", _LABELS)):
        if not any(name.endswith(endings) for name in names):
            raise ArchiveError(f"expected a zip of a data set, got one without {kind} ({', '.join(endings)})", "/data")


def unpack_archive(file: BinaryIO, folder: Path, limits: ArchiveLimits) -> None:
    """Unpack a zip into a folder that is not there yet; raises as ``check_archive`` does, StorageError without room."""
    try:
        with _open(file, limits) as archive:
            folder.mkdir(parents=True)
            for name, entry in _entries(archive, limits):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    copy.writelines(_pieces(archive, entry))
    except OSError as error:
        raise StorageError(f"expected room to unpack an archive, got: {error.strerror or error}") from error


def _open(file: BinaryIO, limits: ArchiveLimits) -> zipfile.ZipFile:
    file.seek(0)
    if file.read(4) not in MAGIC:
        raise MediaTypeError("expected a zip, got a file that begins otherwise")
    _check_directory(file, limits)
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OSError, EOFError) as error:
        raise ArchiveError(f"expected a whole zip, got one that fails: {error}", "/data") from error


def _check_directory(file: IO[bytes], limits: ArchiveLimits) -> None:
    """Bound the list of files before it is read into memory."""
    size = file.seek(0, 2)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ArchiveError("expected a whole zip, got one without its end: it was cut off", "/data")
    (directory_bytes,) = struct.unpack_from("<L", tail, at + 12)
    if directory_bytes == 0xFFFFFFFF and at >= 20:
        (record_at,) = struct.unpack_from("<Q", tail, at - 12)
        if record_at + 56 > size:
            raise ArchiveError("expected a whole zip, got one whose end points out of it", "/data")
        file.seek(record_at)
        (directory_bytes,) = struct.unpack_from("<Q", file.read(56), 40)
    if directory_bytes > limits.max_files * _BYTES_PER_ENTRY:
        raise RequestTooLargeError(
            f"expected at most {limits.max_files} files in the zip, got a list of {directory_bytes} bytes", "/data"
        )


def _entries(archive: zipfile.ZipFile, limits: ArchiveLimits) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the files with their paths, all of them checked before the first."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir() or entry.file_size]
    if len(entries) > limits.max_files:
        raise RequestTooLargeError(f"expected at most {limits.max_files} files in the zip, got {len(entries)}", "/data")
    named: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = _path_of(entry)
        _check_entry(entry, name)
        if name in named:
            raise ArchiveError(f"expected each name once, got {name!r} twice", "/data")
        named[name] = entry
    total = sum(entry.file_size for entry in entries)
    if total > limits.max_unpacked_bytes:
        raise RequestTooLargeError(f"expected at most {limits.max_unpacked_bytes} bytes unpacked, got {total}", "/data")
    folders = {str(parent) for name in named for parent in PurePosixPath(name).parents}
    both = sorted(folders & named.keys())
    if both:
        raise ArchiveError(f"expected a file or a folder, got {both[0]!r} as both", "/data")
    _check_overlap(entries)
    yield from named.items()


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    mode = entry.external_attr >> 16
    if entry.flag_bits & 0x1:
        raise ArchiveError(f"expected a zip without password, got {name!r} encrypted", "/data")
    if stat.S_ISLNK(mode):
        raise ArchiveError(f"expected files, got the link {name!r}", "/data")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError(f"expected files, got {name!r}, which is a device, a pipe or a folder with content", "/data")
    if entry.compress_type not in _METHODS:
        raise ArchiveError(f"expected files that are stored or deflated, got {name!r} compressed otherwise", "/data")
    if entry.file_size > _MAX_FILE_BYTES:
        raise RequestTooLargeError(
            f"expected files of at most {_MAX_FILE_BYTES} bytes, got {name!r} of {entry.file_size}", "/data"
        )
    if entry.file_size > max(_FREE_RATIO_BYTES, _MAX_RATIO * entry.compress_size):
        raise ArchiveError(
            f"expected files compressed to 1/{_MAX_RATIO} at most, got {name!r}: {entry.compress_size} bytes that "
            f"become {entry.file_size}",
            "/data",
        )


def _path_of(entry: zipfile.ZipInfo) -> str:
    """Return the path of a file below the folder of the archive; raises ArchiveError for one that leads elsewhere."""
    name = _decoded(entry).replace("\\", "/")
    shown = repr(name[:120])
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ArchiveError(f"expected names of printable characters, got {shown}", "/data")
    if name.startswith("/") or name[1:2] == ":":
        raise ArchiveError(f"expected paths below the folder of the data set, got the absolute path {shown}", "/data")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"expected paths below the folder of the data set, got {shown}, which leads out", "/data")
    if not parts:
        raise ArchiveError(f"expected files with names, got {shown}", "/data")
    if len(parts) > _MAX_DEPTH:
        raise ArchiveError(f"expected at most {_MAX_DEPTH} folders within each other, got {len(parts) - 1}", "/data")
    if any(len(part.encode()) > _MAX_NAME_BYTES for part in parts):
        raise ArchiveError(f"expected names of at most {_MAX_NAME_BYTES} bytes, got {shown}", "/data")
    return "/".join(parts)


def _decoded(entry: zipfile.ZipInfo) -> str:
    """Return the name as it was written: UTF-8, whether the zip says so or not."""
    name = entry.orig_filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError as error:
        raise ArchiveError(f"expected names in UTF-8, got {name[:120]!r} in another encoding", "/data") from error


def _check_overlap(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse files that share bytes of the archive, which is how small ones become petabytes."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise ArchiveError(
                f"expected files beside each other, got {entry.filename[:120]!r} inside another", "/data"
            )
        end = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a file, which must be as long as the list of files says and have its checksum."""
    left = entry.file_size
    try:
        with archive.open(entry) as content:
            while piece := content.read(_PIECE_BYTES):
                left -= len(piece)
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error) as error:
        raise ArchiveError(
            f"expected a whole zip, got {entry.filename[:120]!r} that fails: {error}", "/data"
        ) from error
    if left:
        raise ArchiveError(f"expected {entry.file_size} bytes in {entry.filename[:120]!r}, got {-left:+d}", "/data")


def without_folder(text: str, folder: Path) -> str:
    """Return a text without the folder that a data set was unpacked into."""
    return text.replace(f"{folder}/", "")
