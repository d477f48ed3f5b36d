"""Folders that are written whole or not at all, and the names of files that could not be written."""

import errno
import os
from pathlib import Path

import pytest

from yoloscope.models.errors import OutputError
from yoloscope.models.files import fill_folder, name_unwritten


def full() -> OSError:
    """The error of a full disk as most writers raise it: without a name."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [full(), KeyboardInterrupt(), ValueError()], ids=lambda error: type(error).__name__)
def test_a_folder_that_could_not_be_filled_is_as_it_was(error: BaseException, tmp_path: Path, *, existed: bool) -> None:
    folder = tmp_path / "a" / "b"
    if existed:
        folder.mkdir(parents=True)

    def fill() -> None:
        with fill_folder(folder):
            (folder / "images" / "train").mkdir(parents=True)
            (folder / "images" / "train" / "a.txt").write_text("a")
            (folder / "data.yaml").write_text("a")
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)) as raised:
        fill()
    assert folder.exists() == existed
    assert not existed or list(folder.iterdir()) == []
    if isinstance(error, OSError):
        assert str(raised.value) == f"cannot write into {folder}: No space left on device"


def test_a_full_disk_below_a_folder_is_named_by_the_file_or_the_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=rf"cannot write into {tmp_path}: No space left"), name_unwritten(tmp_path):
        raise full()
    named = OSError(errno.EROFS, os.strerror(errno.EROFS), "events.out")
    with pytest.raises(OutputError, match=r"cannot write events\.out: Read-only file system"), name_unwritten(tmp_path):
        raise named
    with pytest.raises(FileNotFoundError), name_unwritten(tmp_path):
        (tmp_path / "none").read_bytes()
