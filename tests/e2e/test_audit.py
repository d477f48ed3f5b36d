"""From a data set with a wrong label to a mended copy: audit, review in Chromium, apply."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

import yoloscope
from tests.conftest import ROOT
from tests.e2e.test_audit_page_in_a_browser import CHROMIUM, SWITCHES
from tests.training.diagnostics.mending.scenes import bytes_below
from yoloscope.app.cli import build
from yoloscope.training.data.datasets import open_dataset

IMAGE = ROOT / "docs" / "images" / "blood.jpg"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


def call(*words: str) -> str:
    result = CliRunner().invoke(build(words), list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_cells(folder: Path) -> tuple[float, ...]:
    """Label every cell that the built-in model sees in a drawn smear but the white one; return that one's box."""
    found = yoloscope.load("builtin", provider="cpu").detect(IMAGE)
    names, white = ("RBC", "WBC", "Platelets"), tuple[float, ...]()
    lines = []
    for class_name, (x1, y1, x2, y2) in zip(found.class_names, found.boxes_xyxy_px.tolist(), strict=True):
        if class_name == "WBC":
            white = (x1, y1, x2, y2)
        else:
            box = ((x1 + x2) / 1280, (y1 + y2) / 960, (x2 - x1) / 640, (y2 - y1) / 480)
            lines.append(f"{names.index(class_name)} {' '.join(f'{value:.6f}' for value in box)}\n")
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True)
    shutil.copy(IMAGE, folder / "images" / "blood.jpg")
    (folder / "labels" / "blood.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return white


def test_a_missing_label_is_found_accepted_and_added(tmp_path: Path) -> None:
    cells, audit, mended = tmp_path / "cells", tmp_path / "audit", tmp_path / "mended"
    white = write_cells(cells)
    before = bytes_below(cells)
    call("audit", "--data", str(cells), "--model", "builtin", "--provider", "cpu", "--output", str(audit))
    assert {"report.html", "report.json", "report.csv"} <= {path.name for path in audit.iterdir()}
    first = next(
        one for one in json.loads((audit / "report.json").read_text())["findings"] if one["class_name"] == "WBC"
    )
    assert (first["kind"], first["image"], first["label_index"]) == ("missing", "images/blood.jpg", None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page()
        page.goto((audit / "report.html").as_uri())
        page.get_by_role("button", name="Accept: add WBC").first.click()
        with page.expect_download() as started:
            page.get_by_role("button", name="Download").click()
        started.value.save_as(tmp_path / "decisions.json")
        browser.close()
    said = call("audit", "apply", str(tmp_path / "decisions.json"), "--data", str(cells), "--output", str(mended))
    assert said.startswith("1 of 1 findings accepted: 1 added, 0 relabeled, 0 moved, 0 deleted\n  labels/blood.txt\n")
    (image,) = open_dataset(mended).images
    added = image.labels.objects[-1]
    assert added.class_name == "WBC"
    assert added.box_xyxy_px == pytest.approx(white, abs=12)
    old, new = ((folder / "labels" / "blood.txt").read_text() for folder in (cells, mended))
    assert new.startswith(old)
    assert bytes_below(cells) == before
