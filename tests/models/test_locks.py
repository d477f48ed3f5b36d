"""Locks: one process at a time, also after one was killed, and none where the file system has none."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from yoloscope.models.errors import ConfigError
from yoloscope.models.locks import alone_in, hold_lock

fcntl = pytest.importorskip("fcntl", reason="has no locks of this kind")

ROUNDS = 30


def no_wait() -> None:
    pass


def in_child(work: Callable[[], object]) -> int:
    """Start a process that does the work, and return its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 (a child must not run the tests of its parent)
            os._exit(1)
        os._exit(0)
    return child


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Each adds to a number in a file, with time enough between reading and writing to lose what others add."""
    number, lock = tmp_path / "number", tmp_path / "lock"
    number.write_text("0")

    def add() -> None:
        for _ in range(ROUNDS):
            with hold_lock(lock, no_wait) as held:
                assert held
                before = int(number.read_text())
                time.sleep(0.001)
                number.write_text(str(before + 1))

    children = [in_child(add) for _ in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert number.read_text() == str(4 * ROUNDS)
    assert not lock.exists()


def test_who_was_killed_holds_nothing(tmp_path: Path) -> None:
    def be_killed() -> None:
        with hold_lock(tmp_path / "lock"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.waitpid(in_child(be_killed), 0)[1] == signal.SIGKILL
    assert (tmp_path / "lock").exists()
    with hold_lock(tmp_path / "lock") as held:
        assert held
    assert not (tmp_path / "lock").exists()


def test_a_child_that_outlives_its_parents_work_holds_nothing(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "lock"):
        child = in_child(signal.pause)
    try:
        with hold_lock(tmp_path / "lock") as held:
            assert held
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_who_waits_says_so_once(tmp_path: Path) -> None:
    ready, end = os.pipe(), os.pipe()

    def hold() -> None:
        with hold_lock(tmp_path / "lock"):
            os.write(ready[1], b"1")
            os.read(end[0], 1)

    child = in_child(hold)
    os.read(ready[0], 1)
    said = []

    def say() -> None:
        said.append("waiting")
        os.write(end[1], b"1")

    with hold_lock(tmp_path / "lock") as held:
        assert not held
    assert (tmp_path / "lock").exists(), "who was refused removes nothing"
    with hold_lock(tmp_path / "lock", say) as held:
        assert held
    assert said == ["waiting"]
    assert os.waitpid(child, 0)[1] == 0
    for one in (*ready, *end):
        os.close(one)


def test_where_there_are_no_locks_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_lock(tmp_path / "lock") as first, hold_lock(tmp_path / "lock") as second:
        assert (first, second) == (True, True)
    with hold_lock(tmp_path / "none" / "lock") as held:
        assert held
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_for_one_and_empty_ones_do_not_stay(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    with alone_in(folder, "training"):
        expected = f"{folder}: another training is at work there: wait, or choose another --output"
        with pytest.raises(ConfigError, match=expected), alone_in(folder, "training"):
            pass
        (folder / "last.ckpt").touch()
    assert list(folder.iterdir()) == [folder / "last.ckpt"]
    with alone_in(tmp_path / "b" / "c", "training"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]
