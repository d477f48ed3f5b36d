"""Folders that are written whole or not at all, and the names of files that could not be written."""

import errno
import os
from pathlib import Path

import pytest

from yoloscope.models.errors import OutputError
from yoloscope.models.files import atomic_write, fill_folder, name_unwritten, write_bytes


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


def test_a_file_takes_its_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.onnx"
    with atomic_write(path) as temporary:
        assert temporary.name == path.name
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    link, there = tmp_path / "best.onnx", tmp_path / "there" / "v2.onnx"
    link.symlink_to("there/v2.onnx")
    for data in (b"one", b"two"):
        write_bytes(link, data)
        assert link.is_symlink()
        assert there.read_bytes() == data
    assert list(there.parent.iterdir()) == [there]


def test_devices_and_pipes_are_written_as_they_are(tmp_path: Path) -> None:
    """Root must not make a file of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(pipe, b"data")
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_writers_of_one_file_in_two_containers_do_not_meet(tmp_path: Path) -> None:
    """Both have the same process id there, as replicas that convert one model into one volume."""
    path = tmp_path / "a.onnx"
    with atomic_write(path) as first:
        first.write_bytes(b"first")
        with atomic_write(path) as second:
            second.write_bytes(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}: Is a directory"):
        write_bytes(tmp_path, b"")


@pytest.mark.skipif(os.name != "posix", reason="has no modes")
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o444])
def test_a_file_that_replaces_another_has_its_mode(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(mode)
    write_bytes(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"new", mode)


@pytest.mark.skipif(os.name != "posix", reason="has no modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a.txt", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root, to give files away")
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    os.chown(path, 1001, 1002)
    path.chmod(0o4660)
    write_bytes(path, b"new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1001, 1002, 0o660)


@pytest.mark.skipif(os.name != "posix", reason="has no modes")
def test_another_group_may_not_do_what_the_former_one_might(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(0o664)
    os.chown(path, -1, os.getgid() + 1) if os.getuid() == 0 else pytest.skip("needs root, to give files away")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    write_bytes(path, b"new")
    assert path.stat().st_mode & 0o7777 == 0o644
