"""The CSV of an audit."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.diagnostics.reports import FINDINGS, report_of
from yoloscope.training.diagnostics.report import write_csv


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_each_finding_is_a_row_in_the_order_of_the_report(tmp_path: Path) -> None:
    write_csv(report_of(), tmp_path / "report.csv")
    found = rows(tmp_path / "report.csv")
    assert [row["kind"] for row in found] == ["missing", "class", "spurious", "location", "missing"]
    assert found[1] == {
        "image": "images/a.png",
        "kind": "class",
        "label_index": "1",
        "class_name": "dog",
        "x1": "20",
        "y1": "15",
        "x2": "40",
        "y2": "30",
        "suggested_class": "cat",
        "suggested_x1": "20",
        "suggested_y1": "15",
        "suggested_x2": "40",
        "suggested_y2": "30",
        "probability": "0.9",
        "gain": "1.25",
        "reason": "the model is sure",
    }
    assert (found[0]["label_index"], found[2]["suggested_class"], found[2]["suggested_x1"]) == ("", "", "")


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_is_a_formula_is_quoted_and_a_negative_number_is_not(tmp_path: Path, start: str) -> None:
    hostile = replace(FINDINGS[0], image=start, class_name=start, reason=start, box_xyxy_px=(-1.5, 0, 2, 3))
    write_csv(report_of([hostile]), tmp_path / "report.csv")
    (row,) = rows(tmp_path / "report.csv")
    assert (row["image"], row["class_name"], row["reason"]) == (f"'{start}",) * 3
    assert row["x1"] == "-1.5"
