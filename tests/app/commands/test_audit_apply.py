"""``yoloscope audit apply`` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.data.datasets.folders import write_text
from tests.training.data.datasets.test_open_arrangements import voc_one_folder
from tests.training.diagnostics.mending.scenes import MENDED, edits_of, labels_of
from tests.training.diagnostics.reports import report_of
from yoloscope.app.cli import build
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.diagnostics.decisions import Decision, Decisions


@pytest.fixture
def data(tmp_path: Path) -> Path:
    voc_one_folder(tmp_path / "pets")
    return tmp_path / "pets"


def call(*words: str) -> str:
    arguments = ["audit", "apply", *words]
    result = CliRunner().invoke(build(arguments), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_decisions_are_applied_and_what_changed_is_printed(tmp_path: Path, data: Path) -> None:
    found = edits_of(open_dataset(data), data)
    decided = (*(Decision(one, "accept") for one in found[:3]), Decision(found[3], "reject"))
    path = write_text(tmp_path / "decisions.json", Decisions("m", "1", "pets", None, decided).to_json())
    said = call(str(path), "--data", str(data), "--output", str(tmp_path / "new"))
    assert said.splitlines() == [
        "3 of 4 findings accepted: 0 added, 1 relabeled, 1 moved, 1 deleted",
        "  a.xml",
        "  b.xml",
        f"wrote {tmp_path / 'new'}: 2 files differ from those of the original",
    ]
    assert labels_of(tmp_path / "new") == {"a": MENDED["a"], "b": []}


def test_findings_of_a_report_are_accepted_by_probability(tmp_path: Path, data: Path) -> None:
    report = report_of(edits_of(open_dataset(data), data))
    path = write_text(tmp_path / "report.json", report.to_json())
    words = (str(path), "--data", str(data), "-o", str(tmp_path / "new"), "--accept-above", ".75", "--json")
    assert json.loads(call(*words)) == {
        "output": str(tmp_path / "new"),
        "counts": {"added": 0, "relabeled": 1, "moved": 1, "deleted": 0},
        "shapes_lost": 0,
        "clipped": 0,
        "new_classes": [],
        "files": ["a.xml"],
        "repointed": [],
        "left_out": [],
    }


def test_wrong_input_is_an_error(tmp_path: Path, data: Path) -> None:
    path = write_text(tmp_path / "report.json", report_of().to_json())
    with pytest.raises(DatasetError, match="got a report: name the probability"):
        call(str(path), "--data", str(data), "--output", str(tmp_path / "new"))
    with pytest.raises(ConfigError, match="--data: expected a data set, got none"):
        call(str(path), "--output", str(tmp_path / "new"))


def test_the_audit_itself_wants_data() -> None:
    with pytest.raises(ConfigError, match="--data: expected a data set, got none"):
        CliRunner().invoke(build(["audit"]), ["audit"], catch_exceptions=False)
