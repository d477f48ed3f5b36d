"""Checkpoints are there whole or not at all."""

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import CheckpointError
from training.checkpoint import read_checkpoint, write_checkpoint


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.ckpt"
    write_checkpoint({"weights": torch.arange(3.0), "step": 7}, path)
    state = read_checkpoint(path)
    assert torch.equal(state["weights"], torch.arange(3.0))
    assert state["step"] == 7
    assert [entry.name for entry in path.parent.iterdir()] == ["a.ckpt"]


def test_a_kill_in_the_middle_of_writing_leaves_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    write_checkpoint({"step": 1}, path)
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda _file: os.kill(os.getpid(), signal.SIGKILL))
            write_checkpoint({"step": 2, "much": torch.zeros(10_000)}, path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert any(entry.name.endswith(".tmp") for entry in tmp_path.iterdir()), (
        "the child died after writing, before renaming"
    )
    assert read_checkpoint(path)["step"] == 1


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


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        read_checkpoint(path)


def test_a_missing_file_and_another_format_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save({"format": 2}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"format 1 .* got 2"):
        read_checkpoint(tmp_path / "a.ckpt")
