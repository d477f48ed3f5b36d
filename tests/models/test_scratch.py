"""Scratch folders: those of killed processes are removed, those at work stay, whatever their process ids."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from yoloscope.models.scratch import LOCK, UNFINISHED, remove_abandoned, scratch_folder

fcntl = pytest.importorskip("fcntl", reason="has no locks of this kind")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a process left that was killed while it wrote."""
    child = os.fork()
    if child == 0:
        with scratch_folder(tmp_path) as folder:
            (folder / "a.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (half,) = (tmp_path / UNFINISHED).glob("*/a.txt")
    assert half.read_text() == "half"
    return half.parent


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Path]:
    """A folder that is being filled."""
    with scratch_folder(tmp_path) as folder:
        yield folder


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "deep" / "er") as folder:
        (folder / "a" / "b").mkdir(parents=True)
        assert folder.is_relative_to(tmp_path / "deep" / "er")
    assert list((tmp_path / "deep" / "er").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(at_work: Path, killed: Path) -> None:
    remove_abandoned(at_work.parent.parent)
    assert not killed.exists()
    assert (at_work / LOCK).exists()


def test_the_next_one_tidies_up(killed: Path, tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert list(folder.parent.iterdir()) == [folder]
    assert not killed.exists()


def test_a_folder_without_a_lock_is_new_or_was_left(tmp_path: Path) -> None:
    """A process makes it just now, or was killed before it could lock it."""
    new, left = tmp_path / UNFINISHED / "new", tmp_path / UNFINISHED / "left"
    for folder in (new, left):
        folder.mkdir(parents=True)
    os.utime(left, (time.time() - 2 * 3600,) * 2)
    remove_abandoned(tmp_path)
    assert new.exists()
    assert not left.exists()


def test_many_at_once_have_one_each(tmp_path: Path) -> None:
    """Folders are made and removed, and others tidied up, at the same time."""

    def fill(number: int) -> bool:
        with scratch_folder(tmp_path) as folder:
            (folder / "a.txt").write_text(str(number))
            remove_abandoned(tmp_path)
            return [entry.name for entry in sorted(folder.iterdir())] == [LOCK, "a.txt"]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(fill, range(400)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), scratch_folder(tmp_path / "file"):
        pass


def test_where_there_are_no_locks_a_folder_stays_for_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    new, left = tmp_path / UNFINISHED / "new", tmp_path / UNFINISHED / "left"
    for folder in (new, left):
        folder.mkdir(parents=True)
        (folder / LOCK).touch()
    os.utime(left / LOCK, (time.time() - 8 * 24 * 3600,) * 2)
    with scratch_folder(tmp_path) as own:
        assert {*own.parent.iterdir()} == {own, new}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be several users")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_users_who_share_a_folder_do_not_keep_each_other_from_writing(umask: int) -> None:
    """One is killed; another one, who may not write where the first one did, takes a folder of its own."""
    with TemporaryDirectory(dir="/tmp") as name:
        parent = Path(name)
        parent.chmod(0o777)

        def as_user(user: int, *, killed: bool) -> int:
            child = os.fork()
            if child == 0:
                try:
                    os.setgid(user)
                    os.setuid(user)
                    os.umask(umask)
                    with scratch_folder(parent) as folder:
                        (folder / "a.txt").write_text("half")
                        if killed:
                            os.kill(os.getpid(), signal.SIGKILL)
                finally:
                    os._exit(1 if sys.exc_info()[0] else 0)
            return os.waitpid(child, 0)[1]

        assert as_user(1001, killed=True) == signal.SIGKILL
        assert as_user(1002, killed=False) == 0
        assert as_user(1002, killed=True) == signal.SIGKILL
        assert len(list(parent.glob(f"{UNFINISHED}*/*"))) == 2
        assert [as_user(user, killed=False) for user in (1001, 1002)] == [0, 0]
        assert list(parent.iterdir()) == []
