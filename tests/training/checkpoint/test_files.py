"""Checkpoints are there whole or not at all."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from yoloscope.models.errors import CheckpointError
from yoloscope.models.scratch import UNFINISHED
from yoloscope.training.checkpoint.files import read_checkpoint, write_checkpoint


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.ckpt"
    write_checkpoint({"weights": torch.arange(3.0), "step": 7}, path)
    state = read_checkpoint(path)
    assert torch.equal(state["weights"], torch.arange(3.0))
    assert state["step"] == 7
    assert [entry.name for entry in path.parent.iterdir()] == ["a.ckpt"]


def half_way(patch: pytest.MonkeyPatch) -> None:
    def die(path: Path, content: memoryview) -> None:
        os.write(os.open(path, os.O_WRONLY | os.O_CREAT), content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    patch.setattr(Path, "write_bytes", die)


def before_the_flush(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", lambda _file: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize("die", [half_way, before_the_flush])
def test_a_kill_in_the_middle_of_writing_leaves_the_previous_one(
    tmp_path: Path, die: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = tmp_path / "a.ckpt"
    write_checkpoint({"step": 1}, path)
    child = os.fork()
    if child == 0:
        try:
            with pytest.MonkeyPatch.context() as patch:
                die(patch)
                write_checkpoint({"step": 2, "much": torch.zeros(10_000)}, path)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (leftover,) = tmp_path.glob(f"{UNFINISHED}/*/a.ckpt")
    assert leftover.stat().st_size > 10_000
    assert read_checkpoint(path)["step"] == 1
    write_checkpoint({"step": 3}, path)
    assert read_checkpoint(path)["step"] == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("earlier", "told"), [(True, "the previous one is unharmed"), (False, "no earlier one")])
def test_a_full_disk_is_told_and_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, earlier: bool, told: str
) -> None:
    path = tmp_path / "a.ckpt"
    if earlier:
        write_checkpoint({"step": 1}, path)

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=f"No space left on device; .*{told}"):
        write_checkpoint({"step": 2}, path)
    assert [entry.name for entry in tmp_path.iterdir()] == (["a.ckpt"] if earlier else [])


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (1000,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"format": 1, "step": Malicious()}, path)
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", r"a file that cannot be read \(EOFError\)"),
        (b"no checkpoint", ".* "),
        (b"hello\n", r"a file that cannot be read \(KeyError 101\)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"expected a checkpoint at .*, got: {found}"):
        read_checkpoint(path)


def test_a_missing_file_and_another_format_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save({"format": 2}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"format 1 .* got 2"):
        read_checkpoint(tmp_path / "a.ckpt")
