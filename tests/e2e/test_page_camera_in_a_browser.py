"""The camera as a source of the page, with the two that Chromium makes up: one frame after the other."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.conftest import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


def test_a_camera_that_is_refused_is_told_in_words(page: Page) -> None:
    page.context.clear_permissions()
    page.get_by_role("button", name="Camera", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The browser refused the camera.")
    expect(page.get_by_role("button", name="Camera", exact=True)).to_have_attribute("aria-pressed", "false")
    assert page.locator("#images button").count() == 0


def test_frames_come_one_after_the_other_until_the_camera_is_stopped(page: Page) -> None:
    page.context.grant_permissions(["camera"])
    asked = 0
    at_work: set[Request] = set()
    most = 0

    def began(request: Request) -> None:
        nonlocal asked, most
        if "/v1/detect" in request.url:
            asked += 1
            at_work.add(request)
            most = max(most, len(at_work))

    def ended(request: Request) -> None:
        at_work.discard(request)

    def wait_for_frames(count: int) -> None:
        for _ in range(count):
            page.wait_for_event("requestfinished", lambda request: "/v1/detect" in request.url)

    page.on("request", began)
    page.on("requestfinished", ended)
    page.get_by_role("button", name="Camera", exact=True).click()
    expect(page.locator("#images button")).to_have_text(["camera.jpg"])
    wait_for_frames(3)
    cameras = page.get_by_label("Which camera")
    expect(cameras.locator("option")).to_have_count(2)
    other = cameras.locator("option:not(:checked)").get_attribute("value")
    assert other
    cameras.select_option(other)
    wait_for_frames(2)
    expect(cameras).to_have_value(other)
    page.get_by_role("button", name="Stop the camera").click()
    page.wait_for_load_state("networkidle")
    stopped = asked
    page.wait_for_timeout(300)
    assert asked == stopped
    assert most == 1
    expect(page.locator("#images button")).to_have_text(["camera.jpg"])
    expect(page.get_by_role("button", name="YOLO labels")).to_be_enabled()
    page.get_by_role("button", name="Camera", exact=True).click()
    expect(page.get_by_role("button", name="Stop the camera")).to_be_visible()
    page.get_by_role("link", name="Score").click()
    page.get_by_role("link", name="Detect").click()
    expect(page.get_by_role("button", name="Camera", exact=True)).to_be_visible()
