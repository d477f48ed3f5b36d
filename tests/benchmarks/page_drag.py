"""The page's first view, and dragging a label on it: from the pointer to the new loss, and frames a second.

`python -m tests.benchmarks.page_drag` starts the service with the built-in model, and Chromium on this machine. The
first figure is the time until a new browser knows the models and can be used; the second is of a 640x480 image of BCCD
with its labels, each move waited for; the third of a photo of 12 megapixels whose label is dragged for three seconds.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.benchmarks.report import heading
from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM, QUIET, start_service

VIEWS = 9
MOVES = 100
SECONDS = 3.0
MEASURE = """() => {
    window.waits = [];
    let began = 0;
    document.querySelector("#score-canvas").addEventListener("pointermove", () => (began = performance.now()), true);
    new MutationObserver(() => {
        if (began) window.waits.push(performance.now() - began);
        began = 0;
    }).observe(document.querySelector("#score-bars"), { childList: true });
}"""
FRAMES = """() => {
    window.frames_ms = [];
    let last = performance.now();
    const next = (now) => {
        window.frames_ms.push(now - last);
        last = now;
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
}"""


def first_views(browser: Browser, url: str) -> list[float]:
    """Milliseconds until the first view is ready, each time in a browser without a cache."""
    ready = []
    for _ in range(VIEWS):
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.locator("#model option").first.wait_for(state="attached")
        ready.append(float(page.evaluate("performance.now()")))
        context.close()
    return ready


def open_score(page: Page, url: str, image: tuple[str, bytes], labels: tuple[str, bytes]) -> None:
    """Open the view Score with an image and its labels."""
    page.goto(f"{url}/#score")
    page.locator("#score-class option").first.wait_for(state="attached")
    files = [("image/jpeg", image), ("text/plain", labels)]
    for name, (kind, (file_name, data)) in zip(("Choose a picture", "Choose labels"), files, strict=True):
        page.get_by_label(name).set_input_files({"name": file_name, "mimeType": kind, "buffer": data})
        page.locator("#score-bars .total").wait_for()
        page.wait_for_load_state("networkidle")
    page.locator("#score-objects tr").first.wait_for()


def hold(page: Page) -> tuple[float, float]:
    """Choose the dearest object and press the pointer on its middle; return where that is."""
    page.locator("#score-objects button").first.click()
    middle = page.evaluate(
        """async () => {
            const canvas = document.querySelector("#score-canvas");
            canvas.scrollIntoView({ block: "nearest" });
            const { left, top, width, height } = canvas.getBoundingClientRect();
            return [left + width / 2, top + height / 2];
        }"""
    )
    x, y = float(middle[0]), float(middle[1])
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def require_labels(page: Page, count: int) -> None:
    """Refuse a run in which a new box was drawn instead of a label dragged."""
    page.wait_for_load_state("networkidle")
    found = page.locator("#score-objects tr").count()
    if found != count:
        raise SystemExit(f"expected a label to be dragged and {count} labels to stay, got {found}")


def drag_to_number(page: Page) -> list[float]:
    """Milliseconds from each move of the pointer to the loss on the page."""
    count = page.locator("#score-objects tr").count()
    x, y = hold(page)
    page.evaluate(MEASURE)
    for step in range(MOVES):
        page.mouse.move(x + 20 * np.sin(step / 8), y + 12 * np.cos(step / 5))
        while page.evaluate("window.waits.length") <= step:
            page.wait_for_timeout(5)
    page.mouse.up()
    require_labels(page, count)
    waits: list[float] = page.evaluate("window.waits")
    return waits


def frames_while_dragging(page: Page) -> list[float]:
    """Milliseconds of each frame while a label is dragged."""
    count = page.locator("#score-objects tr").count()
    x, y = hold(page)
    page.evaluate(FRAMES)
    end, step = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        page.mouse.move(x + 60 * np.sin(step / 8), y + 40 * np.cos(step / 5))
        step += 1
        page.wait_for_timeout(8)
    frames: list[float] = page.evaluate("window.frames_ms")
    page.mouse.up()
    require_labels(page, count)
    return frames


def main() -> None:
    """Print the figures."""
    data = Path(os.environ.get("DATA_DIR", ROOT.parent / "shared" / "data")) / "bccd"
    image = ("a.jpg", (data / "JPEGImages" / "BloodImage_00000.jpg").read_bytes())
    labels = ("a.xml", (data / "Annotations" / "BloodImage_00000.xml").read_bytes())
    photo = io.BytesIO()
    Image.open(io.BytesIO(image[1])).resize((4000, 3000)).save(photo, "JPEG", quality=90)
    print(heading("Dragging a label on the page, Chromium without a GPU", "torch", "playwright"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = start_service(YOLOSCOPE_MODEL="builtin", YOLOSCOPE_MODELS_DIR=folder)
        switches = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        try:
            views = first_views(browser, service.url)
            open_score(page, service.url, image, labels)
            waits = drag_to_number(page)
            middle = ("b.txt", b"0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.1\n")
            page.close()
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            open_score(page, service.url, ("b.jpg", photo.getvalue()), middle)
            frames = frames_while_dragging(page)
        finally:
            browser.close()
            service.stop()
    print(f"{'':38}  median     p95")
    measured = {
        "first view, ms": views,
        "pointer to loss, 640x480, 20 labels, ms": waits,
        "a frame, 4000x3000, ms": frames,
    }
    for name, values in measured.items():
        print(f"{name:38}  {np.median(values):6.1f}  {np.percentile(values, 95):6.1f}")
    print(f"frames a second, 4000x3000: {1e3 * len(frames) / sum(frames):.1f}")


if __name__ == "__main__":
    main()
