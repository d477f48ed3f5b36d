"""Corrected copies of uploaded data sets: the bytes that change, what is refused, and that nothing stays."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.app.audits import yolo_files, zip_of
from tests.training.diagnostics.reports import finding
from yoloscope.app.services.audits.archive import ArchiveLimits
from yoloscope.app.services.audits.correction import Correction, Corrector
from yoloscope.app.services.audits.options import CorrectedContent
from yoloscope.models.errors import ArchiveError, BusyError, DatasetError
from yoloscope.models.scratch import UNFINISHED
from yoloscope.training.diagnostics.decisions import Decision, Decisions
from yoloscope.training.diagnostics.findings import Finding

LABEL = (16.0, 14.4, 35.2, 33.6)
"""The box of every label of the data set."""
DELETE = finding("spurious", "images/000.png", 0, "cat", LABEL, None, 0.9)
ADD = finding("missing", "images/001.png", None, "cat", (1, 2, 9, 12), ("cat", (1.0, 2.0, 9.0, 12.0)), 0.8)
REJECTED = finding("spurious", "images/002.png", 0, "cat", LABEL, None, 0.7)


def decided(*accepted: Finding) -> bytes:
    decisions = (*(Decision(one, "accept") for one in accepted), Decision(REJECTED, "reject"))
    return Decisions("judge", "1", "cells", None, decisions).to_json().encode()


def corrector(tmp_path: Path) -> Corrector:
    return Corrector(tmp_path, ArchiveLimits(100, 10**7))


def correct(tmp_path: Path, data: bytes, decisions: bytes, content: CorrectedContent = "data") -> dict[str, bytes]:
    correction = Correction(io.BytesIO(data), "cells", decisions, content, "refuse")
    corrected = b"".join(corrector(tmp_path).correct(correction).parts())
    with zipfile.ZipFile(io.BytesIO(corrected)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_accepted_findings_change_their_labels_and_nothing_else(tmp_path: Path) -> None:
    files = dict(yolo_files(3))
    data, decisions = zip_of(files.items()), decided(DELETE, ADD)
    found = correct(tmp_path, data, decisions)
    assert found.keys() == files.keys()
    changed = {name for name in files if found[name] != files[name]}
    assert changed == {"labels/000.txt", "labels/001.txt"}
    assert found["labels/000.txt"] == b""
    assert found["labels/001.txt"].startswith(files["labels/001.txt"])
    assert [float(part) for part in found["labels/001.txt"].splitlines()[-1].split()] == pytest.approx(
        [0, 5 / 64, 7 / 48, 8 / 64, 10 / 48], abs=1e-6
    )
    assert correct(tmp_path, data, decisions, "labels") == {name: found[name] for name in changed}
    assert not (tmp_path / UNFINISHED).exists()


def test_a_zip_with_a_folder_of_its_own_keeps_it(tmp_path: Path) -> None:
    files = {f"cells/{name}": data for name, data in yolo_files(2)}
    inside = finding("spurious", "cells/images/000.png", 0, "cat", LABEL, None, 0.9)
    found = correct(tmp_path, zip_of(files.items()), decided(inside))
    assert found == {**files, "cells/labels/000.txt": b""}


def test_a_data_set_outside_the_zip_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for name, data in yolo_files(2):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_bytes(data if name.endswith(".png") else b"2 .5 .5 .9 .9\n")
    description = f"path: {outside}\ntrain: images\nnames: [cat, dog, bird]\n".encode()
    files = {"data.yaml": description, **dict(yolo_files(2))}
    found = correct(tmp_path / "audits", zip_of(files.items()), decided(DELETE))
    assert found == {**files, "labels/000.txt": b""}
    assert (outside / "labels/000.txt").read_bytes() == b"2 .5 .5 .9 .9\n"


@pytest.mark.parametrize(
    ("decisions", "error"),
    [
        (decided(), "expected accepted findings, got none"),
        (b"{}", "/model: expected a text|/decisions: expected a list"),
        (b"no json", "expected the JSON"),
        (decided(finding("spurious", "images/009.png", 0, "cat", LABEL, None, 0.9)), r"images/009\.png"),
        (decided(finding("spurious", "images/000.png", 0, "dog", LABEL, None, 0.9)), "dog"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(tmp_path: Path, decisions: bytes, error: str) -> None:
    with pytest.raises(DatasetError, match=error) as refused:
        correct(tmp_path, zip_of(yolo_files(2)), decisions)
    assert str(tmp_path) not in str(refused.value)
    assert not (tmp_path / UNFINISHED).exists()


def test_a_hostile_zip_is_refused_as_for_audits(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="leads out"):
        correct(tmp_path, zip_of([*yolo_files(1), ("../evil.txt", b"x")]), decided(DELETE))


def test_two_are_at_work_at_once(tmp_path: Path) -> None:
    busy = corrector(tmp_path)

    class Slow(io.BytesIO):
        def seek(self, *arguments: int) -> int:
            with pytest.raises(BusyError, match="expected fewer than 2 corrections"):
                busy.correct(Correction(io.BytesIO(), "cells", decided(DELETE), "data", "refuse"))
            return super().seek(*arguments)

    class Slower(io.BytesIO):
        def seek(self, *arguments: int) -> int:
            slow = Correction(Slow(zip_of(yolo_files(2))), "cells", decided(DELETE), "data", "refuse")
            busy.correct(slow).file.close()
            return super().seek(*arguments)

    with pytest.raises(ArchiveError):
        busy.correct(Correction(Slower(b"PK\x03\x04"), "cells", decided(DELETE), "data", "refuse"))
