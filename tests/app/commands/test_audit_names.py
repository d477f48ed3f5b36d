"""File names that are not UTF-8 go the whole way of an audit: printed, written, mended and exported."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from tests.app.commands.audited import audited_spec, write_data, write_model
from tests.app.commands.conftest import Run
from yoloscope.app import cli
from yoloscope.training.diagnostics.findings import AuditReport

NAME = "images/cell\udce9.png"
ESCAPED = r"cell\udce9.png"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data set of audits, one of its images named in Latin-1."""
    folder = write_data(tmp_path / "data")
    for part, suffix in (("images", ".png"), ("labels", ".txt")):
        try:
            (folder / part / f"missing{suffix}").rename(folder / part / f"cell\udce9{suffix}")
        except OSError:
            pytest.skip("this file system takes UTF-8 alone")
    return folder


def test_reports_are_utf_8_and_name_the_file(run: Run, data: Path, tmp_path: Path) -> None:
    model, output = write_model(tmp_path / "sure.onnx", audited_spec("sure")), tmp_path / "out"
    command = ("audit", "--data", data, "-m", model, "--output", output, "--json")
    printed = run(*command).stdout
    text = (output / "report.json").read_text("utf-8")
    assert printed.strip() == text
    assert NAME in {finding.image for finding in AuditReport.from_json(text).findings}
    for name in ("report.csv", "report.html", "images.jsonl"):
        assert ESCAPED in (output / name).read_text("utf-8")
    assert run(*command).stdout == printed, "what is done is known by its name"

    report = output / "report.json"
    bound = max(one.probability for one in AuditReport.from_json(text).findings if one.image == NAME)
    run("audit", "apply", report, "--data", data, "-o", tmp_path / "new", "--accept-above", bound, "--json")
    assert (tmp_path / "new" / "labels" / "cell\udce9.txt").read_text() != ""
    run("audit", "export", report, "--data", data, "-o", tmp_path / "tasks.json")
    addresses = [task["data"]["image"] for task in json.loads((tmp_path / "tasks.json").read_text("utf-8"))]
    assert "/data/local-files/?d=images/cell%E9.png" in addresses


def test_a_terminal_in_utf_8_shows_them(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "utf-8", write_through=True))
    monkeypatch.setattr(sys, "argv", ["yoloscope", "detect", os.fspath(data / NAME), "-m", "tiny"])
    with pytest.raises(SystemExit) as status:
        cli.main()
    assert status.value.code in (0, None)
    assert ESCAPED in shown.getvalue().decode()
