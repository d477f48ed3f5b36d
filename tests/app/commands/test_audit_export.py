"""``yoloscope audit export`` as it is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.data.datasets.folders import write_text
from tests.training.diagnostics.reports import FINDINGS, HOSTILE, open_pets, report_of
from yoloscope.app.cli import build
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.training.diagnostics.exchange import LabelingConfig


def call(*words: str) -> str:
    arguments = ["audit", "export", *words]
    return CliRunner().invoke(build(arguments), arguments, catch_exceptions=False).output


def test_tasks_and_their_configuration_are_written(tmp_path: Path) -> None:
    open_pets(tmp_path / "pets")
    report = write_text(tmp_path / "report.json", report_of().to_json())
    tasks = tmp_path / "tasks.json"
    said = call(str(report), "--data", str(tmp_path / "pets"), "-o", str(tasks), "--image-url", "http://h/")
    assert said == (
        f"left out findings of 1 images that are not in {tmp_path / 'pets'}\n"
        f"wrote {tasks}: 2 tasks, and {tmp_path / 'tasks.xml'}, their labeling configuration\n"
    )
    assert [task["data"]["image"][:9] for task in json.loads(tasks.read_text())] == ["http://h/"] * 2
    assert LabelingConfig.parse((tmp_path / "tasks.xml").read_text()).labels == ("cat", "dog")
    assert HOSTILE not in (tmp_path / "tasks.xml").read_text()


def test_a_report_of_another_data_set_is_refused(tmp_path: Path) -> None:
    open_pets(tmp_path / "pets")
    other = replace(FINDINGS[0], image="images/other.png")
    report = write_text(tmp_path / "report.json", report_of([other]).to_json())
    with pytest.raises(DatasetError, match=r"expected the images of the report in .*pets, such as images/other\.png"):
        call(str(report), "--data", str(tmp_path / "pets"), "-o", str(tmp_path / "tasks.json"))
    assert not (tmp_path / "tasks.json").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\xff", "expected the JSON report of an audit: expected UTF-8 text"),
        (b"<!doctype html>", "expected the JSON report of an audit: expected JSON"),
        (b'{"findings": [{"kind": "missing"}]}', "expected the JSON report of an audit, got none: KeyError"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    open_pets(tmp_path / "pets")
    (tmp_path / "report").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        call(str(tmp_path / "report"), "--data", str(tmp_path / "pets"), "-o", str(tmp_path / "tasks.json"))


@pytest.mark.parametrize(("words", "got"), [([], "neither"), (["-o", "t.json", "--fiftyone", "pets"], "both")])
def test_one_tool_is_chosen(tmp_path: Path, words: list[str], got: str) -> None:
    report = write_text(tmp_path / "report.json", report_of().to_json())
    with pytest.raises(ConfigError, match=f"expected --output or --fiftyone, got {got}"):
        call(str(report), "--data", str(tmp_path), *words)
