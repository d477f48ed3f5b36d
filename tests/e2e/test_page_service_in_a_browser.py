"""The view Service in Chromium: its numbers are those of /metrics, as Prometheus would read them."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM, Service
from tests.e2e.shut_out import serious_findings

IMAGE = ROOT / "docs" / "images" / "blood.jpg"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


@pytest.fixture
def view(page: Page) -> Page:
    page.get_by_role("link", name="Service").click()
    page.get_by_role("table", name="Models").wait_for()
    return page


def row(page: Page, table: str, name: str) -> list[str]:
    found: list[str] = (
        page.get_by_role("table", name=table).get_by_role("row", name=name).locator("th, td").all_inner_texts()
    )
    return found


def test_metrics_are_parsed_as_prometheus_does(page: Page) -> None:
    registry = CollectorRegistry()
    counter = Counter("files", "<b>\n", ["name"], registry=registry)
    for number, name in enumerate(('<img src=x onerror="alert(1)">', "back\\slash", "two\nlines", 'a,b="c"} 9', "")):
        counter.labels(name).inc(number + 0.25)
    text = generate_latest(registry).decode() + "nan_value NaN\nbig +Inf\nold 1.5e-7 1700000000000\n"
    found = page.evaluate(
        """async (text) => {
            const { parseMetrics } = await import("./page/service/metrics.js");
            return [...parseMetrics(text)].flatMap(([name, samples]) =>
                samples.map(({ labels, value }) => [name, labels, String(value)]));
        }""",
        text,
    )
    expected = [one for family in text_string_to_metric_families(text) for one in family.samples]
    assert len(found) == len(expected) == 13
    for (name, labels, value), sample in zip(found, expected, strict=True):
        assert (name, labels) == (sample.name, sample.labels)
        assert np.float64(value.replace("Infinity", "inf")) == pytest.approx(sample.value, nan_ok=True)


def test_quantiles_are_straight_lines_through_the_buckets(page: Page) -> None:
    rng = np.random.default_rng(5)
    histogram = Histogram("seconds", "s", registry=(registry := CollectorRegistry()), buckets=(0.1, 0.5, 1, 5))
    values = rng.gamma(2, 0.4, 300)
    for value in values[:100]:
        histogram.observe(value)
    before = generate_latest(registry).decode()
    for value in values[100:]:
        histogram.observe(value)
    shares = [0.05, 0.5, 0.9, 0.99]
    since, all_of, none, restarted = page.evaluate(
        """async ([before, now, shares]) => {
            const { parseMetrics, quantile, rate } = await import("./page/service/metrics.js");
            const past = { at: 0, samples: parseMetrics(before) };
            const present = { at: 4, samples: parseMetrics(now) };
            const name = "seconds";
            const growth = rate(past, present, "seconds_count");
            const restarted = rate({ ...present, at: -4 }, past, "seconds_count");
            return [
                [...shares.map((share) => quantile(share, past, present, name)), growth],
                shares.map((share) => quantile(share, undefined, present, name)),
                [quantile(0.5, present, present, name), quantile(0.5, past, present, "x"), rate(undefined, past, name)],
                restarted,
            ];
        }""",
        [before, generate_latest(registry).decode(), shares],
    )
    edges = [0, 0.1, 0.5, 1, 5]
    for part, got in ((values[100:], since[:-1]), (values, all_of)):
        counts = [int((part <= edge).sum()) for edge in edges]
        assert got == pytest.approx([np.interp(share * len(part), counts, edges) for share in shares])
    assert since[-1] == 50
    assert none == [None, None, 0]
    assert restarted == 25


def test_work_shows_as_it_comes(view: Page, web_service: Service) -> None:
    before = row(view, "Models", "builtin")
    for _ in range(3):
        httpx.post(f"{web_service.url}/v1/detect", files={"image": IMAGE.read_bytes()}, timeout=60).raise_for_status()
    assert httpx.post(f"{web_service.url}/v1/detect", files={"image": b"none"}, timeout=60).status_code == 415
    images = int(before[4]) + 3
    expect(
        view.get_by_role("table", name="Models").get_by_role("row", name="builtin").locator("td").nth(3)
    ).to_have_text(str(images))
    model = httpx.get(f"{web_service.url}/v1/models/builtin").json()
    after = row(view, "Models", "builtin")
    assert after[0].startswith("builtin")
    assert after[1:3] == [model["version"], model["provider"]]
    assert after[7].endswith(" ms")
    metrics = {
        (one.name, one.labels.get("route"), one.labels.get("status")): one.value
        for family in text_string_to_metric_families(httpx.get(f"{web_service.url}/metrics").text)
        for one in family.samples
    }
    requests = {
        status: value
        for (name, route, status), value in metrics.items()
        if (name, route) == ("yoloscope_requests_total", "/v1/detect")
    }
    shown = row(view, "Requests", "/v1/detect")
    assert (shown[1], shown[3]) == (
        str(int(sum(requests.values()))),
        str(int(sum(v for s, v in requests.items() if s != "200"))),
    )
    assert (
        view.get_by_role("table", name="Refused since the start").get_by_role("row", name="no readable picture").count()
        == 1
    )
    assert view.get_by_role("group", name="Requests").get_by_role("img").locator("path").last.get_attribute("d")
    view.get_by_role("button", name="Pause").click()
    view.get_by_role("link", name="API document (works offline)").click()
    expect(view.locator("#swagger-ui")).to_contain_text("Yoloscope")


def test_a_variant_is_told_and_no_one_is_shut_out(page: Page, web_service: Service, node_packages: Path) -> None:
    httpx.post(f"{web_service.url}/v1/detect", files={"image": IMAGE.read_bytes()}, timeout=60).raise_for_status()
    detail = httpx.get(f"{web_service.url}/v1/models/builtin").json()
    detail["precision"] = {
        "running": "int8",
        "engine": "<b>openvino",
        "speedup": 2.13,
        "state": "ready",
        "reason": "ok",
    }
    page.route("**/v1/models/builtin", lambda route: route.fulfill(json=detail))
    page.get_by_role("link", name="Service").click()
    page.get_by_role("cell", name="int8, <b>openvino, 2.1").wait_for()
    assert serious_findings(page, node_packages) == []
