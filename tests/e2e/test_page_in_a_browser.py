"""The page at / in Chromium without a network, as a person uses it; its numbers are those of the service."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page

from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM, Service
from yoloscope.models.nms import diou_nms

IMAGE = ROOT / "app" / "web" / "blood.jpg"
EDGES = ("x1", "y1", "x2", "y2")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


def use_sample(page: Page) -> None:
    page.get_by_role("button", name="Use the sample").click()
    page.locator("#rows tr").first.wait_for()


def set_slider(page: Page, name: str, value: float) -> None:
    page.get_by_label(name, exact=False).and_(page.get_by_role("slider")).fill(str(value))


def copied_answer(page: Page) -> dict[str, Any]:
    page.get_by_role("button", name="Copy as JSON").click()
    document: dict[str, Any] = json.loads(page.get_by_label("Text to copy").input_value())
    return document


def detected(service: Service, score: float, overlap: float) -> list[dict[str, Any]]:
    query = {"score_threshold": score, "iou_threshold": overlap, "max_detections": 3000}
    answer = httpx.post(f"{service.url}/v1/detect", params=query, files={"image": IMAGE.read_bytes()}, timeout=60)
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"][0]["detections"]
    return rows


def test_the_sliders_show_what_the_service_answers_without_asking_it(
    page: Page, web_service: Service, requested: list[str]
) -> None:
    use_sample(page)
    assert copied_answer(page)["results"][0]["detections"] == detected(web_service, 0.25, 0.45)
    asked, counts = len(requested), set()
    for score, overlap in [(0.05, 1), (0.05, 0.9), (0.05, 0.6), (0.05, 0.3), (0.1, 0), (0.6, 0.45), (0.99, 0.45)]:
        set_slider(page, "Score", score)
        set_slider(page, "Overlap", overlap)
        rows = detected(web_service, score, overlap)
        assert copied_answer(page)["results"][0]["detections"] == rows
        assert page.locator("#rows tr").count() == len(rows)
        counts.add(len(rows))
    assert len(counts) >= 5
    assert len(requested) == asked


@pytest.mark.parametrize("beta", [None, 0.6, 1.0])
def test_suppression_is_that_of_the_service(page: Page, beta: float | None) -> None:
    rng = random.Random(7)
    size, names = (640, 200), 2
    boxes = [
        [x, y, x + rng.uniform(20, 90), y + rng.uniform(10, 50)]
        for x, y in ((rng.uniform(0, 300), rng.uniform(0, 120)) for _ in range(200))
    ]
    scores = sorted((rng.random() for _ in boxes), reverse=True)
    classes = [rng.randrange(names) for _ in boxes]
    rows = [
        {"class_id": c, "class_name": "", "score": s, "box": dict(zip(EDGES, box, strict=True))}
        for c, s, box in zip(classes, scores, boxes, strict=True)
    ]
    fractions = torch.tensor(boxes, dtype=torch.float64) / torch.tensor([*size, *size], dtype=torch.float64)
    for overlap in (0.2, 0.45, 0.7):
        expected = diou_nms(fractions, torch.tensor(scores, dtype=torch.float64), torch.tensor(classes), overlap, beta)
        kept = page.evaluate(
            """async ([rows, overlap, beta, width, height]) => {
                const { suppress } = await import("./page/detect/suppression.js");
                const frame = { width: 1 / width, height: 1 / height };
                const kept = suppress(rows, { score: 0, overlap }, beta, frame);
                return kept.map((row) => rows.indexOf(row));
            }""",
            [rows, overlap, beta, *size],
        )
        assert kept == expected.tolist()
        assert 0 < len(kept) < len(rows)


def test_a_letterboxed_pixel_is_a_fraction_of_the_input(page: Page) -> None:
    frame = page.evaluate(
        """async () => (await import("./page/detect/suppression.js")).pixelFrame(
            { resize: { placement: "letterbox" }, input_width: 416, input_height: 608 }, { width: 832, height: 400 })"""
    )
    assert frame == pytest.approx({"width": 1 / 832, "height": 0.5 / 608})  # shrunk by 2 to 416 x 200


def test_table_and_picture_choose_the_same_box(page: Page, web_service: Service) -> None:
    use_sample(page)
    rows = page.locator("#rows tr")
    white = next(i for i, row in enumerate(detected(web_service, 0.25, 0.45)) if row["class_name"] == "WBC")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.locator("#canvas").click(position={"x": box["width"] * 320 / 640, "y": box["height"] * 235 / 480})
    assert rows.locator("button[aria-pressed=true]").all_inner_texts() == ["WBC"]
    assert rows.nth(white).locator("button").get_attribute("aria-pressed") == "true"
    first = 0 if white else 1
    rows.nth(first).locator("button").focus()
    page.keyboard.press("Enter")
    assert rows.nth(first).locator("button").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def save(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_labels_and_the_picture_are_downloaded(page: Page, web_service: Service, tmp_path: Path) -> None:
    use_sample(page)
    rows = detected(web_service, 0.25, 0.45)
    boxes = np.array([[row["box"][edge] for edge in EDGES] for row in rows]).clip(0, [640, 480, 640, 480])
    assert all(box[0] < box[2] and box[1] < box[3] for box in boxes)
    yolo = np.loadtxt(save(page, "YOLO labels", tmp_path))
    assert yolo[:, 0].tolist() == [row["class_id"] for row in rows]
    halves = yolo[:, 3:] / 2
    corners = np.hstack([yolo[:, 1:3] - halves, yolo[:, 1:3] + halves]) * [640, 480, 640, 480]
    assert corners == pytest.approx(boxes, abs=2e-3)
    voc = ET.parse(save(page, "VOC labels", tmp_path)).getroot()
    assert [one.text for one in voc.iter("name")] == [row["class_name"] for row in rows]
    written = [
        [float(one.findtext(key) or "") for key in ("xmin", "ymin", "xmax", "ymax")] for one in voc.iter("bndbox")
    ]
    assert np.array(written) == pytest.approx(boxes, abs=0.006)
    coco = json.loads(save(page, "COCO labels", tmp_path).read_text())
    assert [one["category_id"] - 1 for one in coco["annotations"]] == [row["class_id"] for row in rows]
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == [row["class_name"] for row in rows]
    assert np.array([one["bbox"][:2] for one in coco["annotations"]]) == pytest.approx(boxes[:, :2])
    with Image.open(save(page, "Picture with boxes", tmp_path)) as drawn:
        assert drawn.size == (640, 480)


def test_the_copied_command_and_program_run(page: Page, web_service: Service, tmp_path: Path) -> None:
    use_sample(page)
    (tmp_path / "blood.jpg").write_bytes(IMAGE.read_bytes())
    set_slider(page, "Score", 0.5)
    expected = detected(web_service, 0.5, 0.45)
    page.get_by_role("button", name="Copy as curl").click()
    command = page.get_by_label("Text to copy").input_value()
    if shutil.which("curl"):
        done = subprocess.run(
            ["sh", "-c", f"{command} --silent"], cwd=tmp_path, capture_output=True, check=True, timeout=60
        )
        assert json.loads(done.stdout)["results"][0]["detections"] == expected
    page.get_by_role("button", name="Copy as Python").click()
    program = page.get_by_label("Text to copy").input_value()
    assert f"{web_service.url}/v1/detect?model=builtin&score_threshold=0.5&iou_threshold=0.45" in program
    compile(program, "copied", "exec")


@pytest.mark.parametrize("how", ["drop", "paste", "choose"])
def test_a_picture_comes_in_and_its_name_is_text(page: Page, tmp_path: Path, how: str) -> None:
    name = "<img src=x onerror=alert(1)>.jpg"
    if how == "choose":
        (tmp_path / name).write_bytes(IMAGE.read_bytes())
        page.get_by_label("Choose pictures").set_input_files(tmp_path / name)
    else:
        page.evaluate(
            """async ([how, name]) => {
                const data = new DataTransfer();
                data.items.add(new File([await (await fetch("page/blood.jpg")).blob()], name, { type: "image/jpeg" }));
                document.dispatchEvent(how === "drop"
                    ? new DragEvent("drop", { dataTransfer: data })
                    : new ClipboardEvent("paste", { clipboardData: data }));
            }""",
            [how, name],
        )
    page.locator("#rows tr").first.wait_for()
    assert page.locator("#images button").all_inner_texts() == [name]
    assert page.locator("img").count() == 0


def test_what_is_no_picture_is_refused_by_name(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.get_by_label("Choose pictures").set_input_files(tmp_path / "notes.txt")
    page.get_by_role("alert").get_by_text("notes.txt: the browser cannot show this picture").wait_for()


def test_the_types_of_the_scripts_hold(node_packages: Path) -> None:
    command = [str(node_packages / ".bin" / "tsc"), "-p", str(ROOT / "jsconfig.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 380])
def test_no_one_is_shut_out(page: Page, node_packages: Path, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    use_sample(page)
    page.evaluate((node_packages / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run().then((report) => report.violations)")
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
