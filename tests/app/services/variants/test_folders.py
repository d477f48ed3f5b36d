"""Folders of variants: what is removed when others are made, and what stays."""

import os
import time
from pathlib import Path

import pytest

from tests.app.services.variants.test_report import EXACT, report
from yoloscope.app.services.variants.folders import KEPT_S, mark_used, new_folder
from yoloscope.app.services.variants.report import REPORT
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
