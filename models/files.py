"""Files written whole or not at all, and their sha256."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from yoloscope.models.errors import OutputError
from yoloscope.models.scratch import scratch_folder

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
Signature: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of change of a file: another file, or other content, has another one."""
ESCAPED: Final = "backslashreplace"
"""Name of the error handler that writes what UTF-8 cannot hold as escapes (see ``encodable``)."""


def file_signature(path: Path) -> Signature | None:
    """Return the signature of a file, None where there is none; raises OSError where it cannot be looked at."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path on the same disk to write to; when the block ends it is flushed and takes the place of ``path``.

    The file has its name already, and gets mode and owner of the one that it replaces. Whatever fails, a former file
    stays as it was and nothing half-written is left; what killed processes left unfinished is removed. A link stays
    one: what it leads to is replaced. A device or a pipe is written as it is. Raises OutputError naming the file where
    the disk is full or the folder cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = path.resolve()
        with scratch_folder(target.parent) as scratch:
            temporary = scratch / target.name
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            _take_permissions(temporary, target)
            temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def name_unwritten(folder: Path) -> Iterator[None]:
    """Raise OutputError for a full or read-only disk in a block that writes below ``folder``.

    Named is the file, or the folder where the error has none, as those of other libraries.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise OutputError(f"cannot write {error.filename or f'into {folder}'}: {error.strerror}") from error


@contextmanager
def fill_folder(folder: Path) -> Iterator[None]:
    """Empty a new or empty folder again if the block that writes into it fails; remove it if it was not there.

    Raises OutputError naming the folder where the disk is full or it cannot be written.
    """
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for entry in (folder,) if not existed else tuple(folder.iterdir()):
            shutil.rmtree(entry, ignore_errors=True)
            _remove(entry)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raise OutputError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all, lone surrogates as escapes (see ``encodable``); raise OutputError."""
    write_bytes(path, text.encode(errors=ESCAPED))


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: lone surrogates, as of file names in another encoding, as ``\udce9``.

    In JSON that is the escape of that surrogate, so that a name is read back as it was.
    """
    return text.encode(errors=ESCAPED).decode()


def _take_permissions(new: Path, former: Path) -> None:
    """Give a file the owner and the mode of another one; without its group, the group may do what all others may."""
    if os.name != "posix" or not former.is_file():
        return
    status, own = former.stat(), new.stat()
    mode = status.st_mode & 0o777
    with suppress(OSError):  # for root alone
        os.chown(new, status.st_uid, -1)
    if own.st_gid != status.st_gid:
        try:
            os.chown(new, -1, status.st_gid)
        except OSError:
            mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    with suppress(OSError):  # a file system without modes
        new.chmod(mode)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
