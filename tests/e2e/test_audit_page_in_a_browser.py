"""The page of an audit in Chromium, from a file: findings are reviewed by keyboard and the decisions downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.training.diagnostics.reports import FINDINGS, finding, open_pets, report_of
from yoloscope.training.diagnostics.decisions import Decision, Decisions, read_decisions
from yoloscope.training.diagnostics.report import write_page

CHROMIUM = shutil.which("chromium")
SWITCHES = ["--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
BY_PLACE = (FINDINGS[0], FINDINGS[4], FINDINGS[1], FINDINGS[3], FINDINGS[2])
"""The findings as they stand on the page: by kind."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("pets")
    write_page(report_of(split="val"), open_pets(root), root / "report.html")
    return (root / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield opened
        opened.close()


@pytest.fixture
def complaints() -> list[str]:
    """Errors of the page, and requests for anything but the file itself."""
    return []


@pytest.fixture
def page(browser: Browser, address: str, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    opened.set_default_timeout(5000)
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if not _is_own(request.url, address) else None)
    opened.goto(address)
    yield opened
    context.close()


def _is_own(url: str, address: str) -> bool:
    return url == address or url.startswith(("data:image/jpeg;", "blob:"))


def press(page: Page, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_findings_are_decided_by_keys_kept_and_downloaded(page: Page, tmp_path: Path, complaints: list[str]) -> None:
    count = page.locator("#count")
    expect(count).to_have_text("0 of 5 decided: 0 accepted, 0 rejected")
    press(page, "anar")
    expect(count).to_have_text("3 of 5 decided: 2 accepted, 1 rejected")
    press(page, "u")
    expect(count).to_have_text("2 of 5 decided: 2 accepted, 0 rejected")
    expect(page.locator("[aria-current=true] h4")).to_have_text("move cat")
    press(page, "pr")
    expect(count).to_have_text("2 of 5 decided: 1 accepted, 1 rejected")
    page.reload()
    expect(count).to_have_text("2 of 5 decided: 1 accepted, 1 rejected")
    expect(page.get_by_role("button", name="Accept: add cat")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "decisions.json"
    started.value.save_as(tmp_path / "decisions.json")
    decided = Decision(BY_PLACE[0], "accept"), Decision(BY_PLACE[2], "reject")
    expected = Decisions("builtin", "abc", "pets", "val", tuple(sorted(decided, key=lambda one: one.finding.order)))
    assert read_decisions((tmp_path / "decisions.json").read_bytes()) == expected
    assert complaints == []


def test_buttons_do_the_same_and_undo_goes_back(page: Page, complaints: list[str]) -> None:
    page.get_by_role("button", name="Reject: move cat").click()
    expect(page.locator("#count")).to_have_text("1 of 5 decided: 0 accepted, 1 rejected")
    page.get_by_role("button", name="Accept: move cat").click()
    expect(page.locator("#count")).to_have_text("1 of 5 decided: 1 accepted, 0 rejected")
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("#count")).to_have_text("0 of 5 decided: 0 accepted, 0 rejected")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    assert complaints == []


def test_a_decision_is_on_the_finding_that_is_seen_where_others_are_left_out(browser: Browser, tmp_path: Path) -> None:
    many = [
        finding("missing", "images/a.png", None, "cat", (x, 3, x + 5, 9), ("cat", (x, 3, x + 5, 9)), 0.9 - x / 100)
        for x in range(10)
    ]
    moved = finding("location", "images/a.png", 0, "cat", (5, 5, 10, 10), ("cat", (4, 3, 12, 9)), 0.1)
    write_page(report_of([*many, moved]), open_pets(tmp_path), tmp_path / "report.html", most=4)
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.get_by_role("button", name="Accept: move cat").click()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download").click()
    started.value.save_as(tmp_path / "decisions.json")
    assert read_decisions((tmp_path / "decisions.json").read_bytes()).accepted == (moved,)
    page.close()


def test_a_browser_without_storage_decides_and_says_so(browser: Browser, address: str) -> None:
    page = browser.new_page()
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('none'); }});"
    page.add_init_script(refuse)
    page.goto(address)
    press(page, "a")
    expect(page.locator("#count")).to_have_text("1 of 5 decided: 1 accepted, 0 rejected")
    expect(page.get_by_text("This browser keeps no decisions")).to_be_visible()
    page.close()


def test_the_page_fits_a_phone_and_a_name_with_markup_is_text(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("heading", name="delete <img src=x onerror=alert(1)>")).to_be_visible()
    assert page.locator("img").count() == 0
    crops = page.locator(".card svg image")
    assert crops.count() == 4
