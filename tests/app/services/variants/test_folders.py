"""Folders of variants: what is removed when others are made, and what stays."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.app.services.variants.test_report import EXACT, report
from yoloscope.app.services.variants import folders
from yoloscope.app.services.variants.folders import KEPT_S, alone_with, mark_used, new_folder
from yoloscope.app.services.variants.report import REPORT, VariantReport, read_report
from yoloscope.models.errors import OutputError

NAME = "000000000000-abcdefabcdef"
"""Of variants of the artifact that ``report`` names."""


def write(folder: Path, *files: str, age_s: float = 2 * KEPT_S) -> Path:
    folder.mkdir(parents=True)
    for name in (REPORT, *files):
        (folder / name).write_text(report(EXACT).model_dump_json())
    for path in (folder / REPORT, folder):
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def make(parent: Path, name: str = "111111111111-000000000000") -> Path:
    with new_folder(parent / name) as scratch:
        (scratch / "int8.onnx").write_bytes(b"new")
    return parent / name


def test_a_folder_takes_its_place_whole(tmp_path: Path) -> None:
    folder = make(tmp_path / "variants")
    assert [path.name for path in folder.iterdir()] == ["int8.onnx"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failure_leaves_the_folder_of_before_and_nothing_else(tmp_path: Path) -> None:
    folder = make(tmp_path)
    with pytest.raises(OutputError, match="No space"), new_folder(folder):
        raise OSError(28, "No space left on device")
    assert (folder / "int8.onnx").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [folder]


def test_variants_that_another_process_made_meanwhile_stay(tmp_path: Path) -> None:
    """A service may have opened them."""
    folder = tmp_path / NAME
    with new_folder(folder) as scratch:
        (scratch / "int8.onnx").write_bytes(b"second")
        write(folder, "int8.onnx")
        there = folder.stat().st_ino
    assert folder.stat().st_ino == there
    assert read_report(folder) == report(EXACT)
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_broken_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / REPORT).write_text("{")
    assert make(tmp_path, NAME) == folder
    assert [path.name for path in folder.iterdir()] == ["int8.onnx"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_goes_while_it_is_looked_at_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process tidies up at the same time."""
    gone = write(tmp_path / NAME)

    def read(folder: Path) -> VariantReport:
        shutil.rmtree(folder)
        return report(EXACT)

    monkeypatch.setattr(folders, "read_report", read)
    made = make(tmp_path)
    assert not gone.exists()
    assert list(tmp_path.iterdir()) == [made]


def test_processes_that_need_the_same_variants_wait_for_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "variants" / NAME
    begun, said = Event(), Event()

    def work(*, first: bool) -> None:
        with alone_with(folder, said.set):
            if read_report(folder) is not None:
                return
            assert first
            begun.set()
            assert said.wait(10)
            with new_folder(folder) as scratch:
                (scratch / REPORT).write_text(report(EXACT).model_dump_json())

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(work, first=True)
        assert begun.wait(10)
        pool.submit(work, first=False).result(10)
        one.result(10)
    assert list(folder.parent.iterdir()) == [folder]


def test_variants_that_no_start_takes_are_removed(tmp_path: Path) -> None:
    unused = write(tmp_path / NAME, "int8.onnx")
    recent = write(tmp_path / "000000000000-111111111111", age_s=KEPT_S / 2)
    taken = write(tmp_path / "000000000000-222222222222")
    mark_used(taken)
    made = make(tmp_path)
    assert not unused.exists()
    assert {*tmp_path.iterdir()} == {recent, taken, made}


@pytest.mark.parametrize("name", ["mine", ".backup.2024", "000000000000", "ffffffffffff-000000000000"])
def test_what_a_user_put_there_stays(tmp_path: Path, name: str) -> None:
    own = write(tmp_path / name)
    beside = write(tmp_path / NAME, "notes.txt")
    make(tmp_path)
    assert own.exists()
    assert beside.exists()


def test_where_nothing_can_be_written_the_mark_is_left_out(tmp_path: Path) -> None:
    mark_used(tmp_path / "nowhere")
