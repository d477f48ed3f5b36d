"""The page /docs in Chromium without a network: upload an image and see boxes, with labels and see a loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM, Service

IMAGE = ROOT / "docs" / "images" / "blood.jpg"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


@pytest.fixture
def requested() -> set[str]:
    """The hosts that the page asked for."""
    return set()


@pytest.fixture
def page(web_service: Service, browser: Browser, requested: set[str]) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_default_timeout(300_000)
    opened.on("request", lambda request: requested.add(request.url.split("/")[2]))
    opened.goto(f"{web_service.url}/docs")
    yield opened
    opened.close()


def execute(
    page: Page, operation: str, files: dict[str, Path], tag: str | None = None, example: str | None = None
) -> dict[str, Any]:
    """Fill in only the files or the example of an operation, execute it, and return the JSON that the page shows."""
    block = page.locator(f"#operations-{tag or operation}-{operation}")
    block.locator("button.opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if example is not None:
        block.locator(".examples-select select").select_option(example)
    for name, path in files.items():
        block.locator(f"[data-property-name={name}] input[type=file]").set_input_files(path)
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table .response")
    answer.wait_for()
    assert answer.locator(".response-col_status").inner_text().strip() == "200"
    document: dict[str, Any] = json.loads(answer.locator(".highlight-code code").first.inner_text())
    return document


def test_an_image_is_uploaded_and_its_boxes_are_seen(page: Page, web_service: Service, requested: set[str]) -> None:
    (result,) = execute(page, "detect", {"image": IMAGE})["results"]
    (white,) = [row for row in result["detections"] if row["class_name"] == "WBC"]
    assert white["box"] == pytest.approx({"x1": 212, "y1": 130, "x2": 430, "y2": 340}, abs=4)
    assert requested == {web_service.url.split("/")[2]}


def test_an_image_and_labels_are_uploaded_and_the_loss_is_seen(page: Page, tmp_path: Path) -> None:
    labels = tmp_path / "blood.txt"
    labels.write_text("2 0.5 0.5 0.35 0.44\n")
    (result,) = execute(page, "score", {"image": IMAGE, "labels": labels})["results"]
    assert result["objects"] == 1
    assert result["total"] == pytest.approx(sum(term["weighted"] for term in result["terms"].values()), rel=1e-5)


@pytest.mark.parametrize(("example", "total"), [("v4", 1.75753), ("article", 0.05625)])
def test_an_example_of_raw_heads_is_sent_as_it_stands(page: Page, example: str, total: float) -> None:
    answer = execute(page, "losses", {}, tag="score", example=example)
    assert answer["total"] == pytest.approx(total, rel=1e-5)
