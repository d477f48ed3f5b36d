"""The page's view Score in Chromium, as a person uses it; its numbers are those of the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

from tests.conftest import ROOT
from tests.e2e.conftest import CHROMIUM, Service
from tests.e2e.shut_out import serious_findings
from tests.e2e.test_page_in_a_browser import IMAGE, save

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")

BOXES = [("WBC", 240, 150, 400, 320), ("RBC", 130, 80, 250, 180), ("Platelets", 400, 100, 480, 180)]
NATIVE = {
    "objects": [
        {"class_name": name, "box": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, "difficult": name == "RBC"}
        for name, x1, y1, x2, y2 in BOXES
    ]
}


def as_yolo() -> str:
    ids = {"RBC": 0, "WBC": 1, "Platelets": 2}
    rows = (
        (ids[name], (x1 + x2) / 1280, (y1 + y2) / 960, (x2 - x1) / 640, (y2 - y1) / 480)
        for name, x1, y1, x2, y2 in BOXES
    )
    return "".join("{} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(*row) for row in rows)


def as_voc() -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(name == 'RBC')}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in BOXES
    )
    return f"<annotation><size><width>640</width><height>480</height><depth>3</depth></size>{objects}</annotation>"


def as_coco() -> str:
    names = ["RBC", "WBC", "Platelets"]
    annotations = [
        {"id": i, "image_id": 1, "category_id": names.index(name), "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": i % 2}
        for i, (name, x1, y1, x2, y2) in enumerate(BOXES)
    ]
    images = [{"id": 1, "file_name": "blood.jpg", "width": 640, "height": 480}]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


FILES = {
    "native": ("a.json", json.dumps(NATIVE)),
    "yolo": ("a.txt", as_yolo()),
    "voc": ("a.xml", as_voc()),
    "coco": ("b.json", as_coco()),
}


def score(service: Service, labels: str | bytes, **options: str) -> dict[str, Any]:
    answer = httpx.post(
        f"{service.url}/v1/score",
        params=options,
        files={"image": ("blood.jpg", IMAGE.read_bytes()), "labels": ("labels", labels)},
        timeout=60,
    )
    result: dict[str, Any] = answer.raise_for_status().json()["results"][0]
    return result


def open_labels(page: Page, folder: Path, kind: str = "native", name: str = "blood.jpg") -> None:
    file_name, text = FILES[kind]
    (folder / file_name).write_text(text)
    (folder / name).write_bytes(IMAGE.read_bytes())
    page.get_by_role("link", name="Score").click()
    page.locator("#score-class option").first.wait_for(state="attached")
    page.get_by_label("Choose a picture").set_input_files(folder / name)
    page.locator("#score-bars .total").wait_for()
    page.get_by_label("Choose labels").set_input_files(folder / file_name)
    expect(page.locator("#score-objects tr")).to_have_count(len(BOXES))


def values(page: Page, selector: str) -> list[float]:
    return [float(one.get_attribute("value") or "nan") for one in page.locator(f"{selector} data").all()]


def settled(page: Page) -> None:
    """Wait until the service has nothing to answer."""
    page.wait_for_load_state("networkidle")


def edited(page: Page, folder: Path) -> bytes:
    """Return the labels on the page as native JSON."""
    page.get_by_label("Format of the labels").select_option("native")
    return save(page, "Download labels", folder).read_bytes()


def require_numbers_of(page: Page, result: dict[str, Any]) -> None:
    """Compare every number of the page with an answer of the service, to the last digit."""
    expect(page.locator("#score-bars .total data")).to_have_attribute("value", re.compile(r"\d"))
    assert values(page, "#score-bars .total") == [result["total"]]
    assert values(page, "#by-term") == [term["weighted"] for term in result["terms"].values()]
    scales = [scale["total"] for scale in result["by_scale"]]
    assert values(page, "#by-scale") == [*scales, result["background"]["total"]]
    assert values(page, "#score-objects") == sorted((one["total"] for one in result["by_object"]), reverse=True)


def require_census(page: Page, result: dict[str, Any], entry: dict[str, Any]) -> None:
    """Compare what is around an object with the whole answer: the cells within two of those of its predictors."""
    counts: dict[str, int] = {}
    cost = total = 0.0
    for scale in result["by_scale"]:
        homes = [one["cell"] for one in entry["assignments"] if one["stride"] == scale["stride"]]
        columns, rows = scale["grid"]
        near = {
            (c, r)
            for c in range(columns)
            for r in range(rows)
            if any(max(abs(c - x), abs(r - y)) <= 2 for x, y in homes)
        }
        total += len(near) * sum(scale["roles"].values()) / (columns * rows)
        cost += sum(scale["cells"]["no_objectness"][r][c] for c, r in near)
        for one in scale["predictors"]:
            if tuple(one["cell"]) in near:
                counts[one["role"]] = counts.get(one["role"], 0) + 1
    counts["background"] = round(total - sum(counts.values()))
    shown = {"extra": "extra anchor"}
    expected = {f"{shown.get(role, role)}: {count}" for role, count in counts.items() if count}
    assert set(page.locator("#score-object p .role").all_inner_texts()) == expected
    assert f"pay {cost:.3f}" in page.locator("#score-object").inner_text()


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], steps: int = 12) -> None:
    box = page.locator("#score-canvas").bounding_box()
    assert box is not None
    (x1, y1), (x2, y2) = (
        (box["x"] + x * box["width"] / 640, box["y"] + y * box["height"] / 480) for x, y in (start, end)
    )
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move(x2, y2, steps=steps)
    page.mouse.up()


def test_labels_of_a_file_are_scored_as_the_service_scores_them(
    page: Page, web_service: Service, tmp_path: Path
) -> None:
    open_labels(page, tmp_path, name="<img src=x onerror=alert(1)>.jpg")
    settled(page)
    require_numbers_of(page, score(web_service, json.dumps(NATIVE)))
    assert page.locator("img").count() == 0
    result = score(web_service, json.dumps(NATIVE), preset="v3")
    page.get_by_label("Loss preset").select_option("v3")
    expect(page.locator("#score-normalizer")).to_contain_text("v3")
    require_numbers_of(page, result)
    assert page.locator("#score-formulas math").count() >= len(result["terms"])
    assert values(page, "#score-formulas .filled") == [
        value for term in result["terms"].values() for value in (term["weighted"], term["raw"])
    ]
    page.locator("#score-objects button").first.click()
    dearest = max(result["by_object"], key=lambda one: one["total"])
    assert values(page, "#score-object p") == [dearest["total"]]
    parts = [*dearest["terms"].values(), *dearest["box_parts"].values()]
    assert values(page, "#score-object ul") == [part["weighted"] for part in parts]
    assert page.locator("#score-object tbody tr").count() == len(dearest["assignments"])
    require_census(page, score(web_service, json.dumps(NATIVE), preset="v3", detail="cells"), dearest)


def test_only_labels_travel_while_one_drags_and_the_last_ones_count(
    page: Page, web_service: Service, tmp_path: Path
) -> None:
    open_labels(page, tmp_path)
    settled(page)
    sent: list[tuple[str, int]] = []
    open_now: set[Request] = set()
    most = 0

    def began(request: Request) -> None:
        nonlocal most
        open_now.add(request)
        most = max(most, len(open_now))
        sent.append((request.url, len(request.post_data_buffer or b"")))

    def ended(request: Request) -> None:
        open_now.discard(request)

    page.on("request", began)
    page.on("requestfinished", ended)
    before = values(page, "#score-bars .total")
    drag(page, (320, 235), (380, 262), steps=40)
    settled(page)
    labels = edited(page, tmp_path)
    moved = json.loads(labels)["objects"][0]["box"]
    assert moved["x1"] == pytest.approx(300, abs=2)
    assert moved["y2"] == pytest.approx(347, abs=2)
    require_numbers_of(page, score(web_service, labels))
    assert values(page, "#score-bars .total") != before
    scored = [(url, size) for url, size in sent if "/v1/score" in url]
    assert len(scored) >= 3
    assert all("image_id=" in url and size < 2000 for url, size in scored)
    assert most == 1
    drag(page, (460, 347), (420, 380))  # the corner of the chosen one
    drag(page, (20, 400), (120, 460))  # nothing is there: a new box
    settled(page)
    labels = edited(page, tmp_path)
    boxes = [one["box"] for one in json.loads(labels)["objects"]]
    assert boxes[0]["x2"] == pytest.approx(420, abs=3)
    assert [boxes[3][edge] for edge in ("x1", "y1", "x2", "y2")] == pytest.approx([20, 400, 120, 460], abs=2)
    require_numbers_of(page, score(web_service, labels))


def test_labels_are_edited_by_keyboard(page: Page, web_service: Service, tmp_path: Path) -> None:
    open_labels(page, tmp_path)
    page.locator("#score-canvas").focus()

    def objects() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(edited(page, tmp_path))["objects"]
        page.locator("#score-canvas").focus()
        return found

    for key in ("n", "ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowRight", "c"):
        page.keyboard.press(key)
    assert objects()[0]["box"] == {"x1": 242, "y1": 149, "x2": 403, "y2": 319}
    assert objects()[0]["class_name"] == "Platelets"
    for key in ("n", "Delete", "b"):
        page.keyboard.press(key)
    assert [one["class_name"] for one in objects()] == ["Platelets", "Platelets", "Platelets"]
    for _ in range(7):
        page.keyboard.press("Control+z")
    assert objects() == [{**one, "crowd": False} for one in NATIVE["objects"]]
    page.keyboard.press("Control+y")
    assert objects()[0]["box"]["x1"] == 241
    settled(page)
    require_numbers_of(page, score(web_service, edited(page, tmp_path)))
    page.keyboard.press("1")
    expect(page.get_by_label("1 Labels")).not_to_be_checked()
    page.keyboard.press("1")
    expect(page.get_by_label("1 Labels")).to_be_checked()


@pytest.mark.parametrize("kind", FILES)
def test_labels_come_back_in_their_format(page: Page, web_service: Service, tmp_path: Path, kind: str) -> None:
    open_labels(page, tmp_path, kind)
    assert page.get_by_label("Format of the labels").input_value() == kind
    text = save(page, "Download labels", tmp_path).read_text()
    first, again = (score(web_service, labels, labels_format=kind) for labels in (FILES[kind][1], text))
    for mine, theirs in zip(again["by_object"], first["by_object"], strict=True):
        assert (mine["class_name"], mine["flags"]) == (theirs["class_name"], theirs["flags"])
        assert list(mine["box"].values()) == pytest.approx(list(theirs["box"].values()), abs=1e-3)
    assert [one["box"] for one in again["not_scored"]] == [one["box"] for one in first["not_scored"]]


def test_missing_labels_are_accepted_with_one_click(page: Page, web_service: Service, tmp_path: Path) -> None:
    open_labels(page, tmp_path)
    found = score(web_service, json.dumps(NATIVE))["unexplained"]
    offered = page.locator("#score-unexplained li button")
    expect(offered).to_have_count(len(found))
    offered.first.click()
    expect(offered).not_to_have_count(len(found))
    labels = json.loads(edited(page, tmp_path))["objects"]
    edges = np.array([list(found[0]["box"].values())]).clip(0, [640, 480, 640, 480])[0]
    assert list(labels[-1]["box"].values()) == pytest.approx(edges.tolist())
    page.get_by_role("button", name="Add all as labels").click()
    expect(page.locator("#score-unexplained")).to_be_hidden()
    settled(page)
    require_numbers_of(page, score(web_service, edited(page, tmp_path)))
    page.get_by_label("Map over the picture").select_option("objectness")
    drawn = page.evaluate(
        """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const canvas = document.querySelector("#score-canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            done(data.filter((value, index) => index % 4 === 3 && value > 0).length / (data.length / 4));
        })))"""
    )
    assert drawn > 0.05


def test_an_image_that_is_no_longer_kept_is_sent_again(page: Page) -> None:
    sent = page.evaluate(
        """async () => {
            const { Scorer } = await import("./page/score/scorer.js");
            const kept = (image_id) => JSON.stringify({ results: [{ image_id }] });
            const answers = [[kept("one"), 200], ["{}", 404], [kept("two"), 200], [kept("two"), 200]];
            const sent = [];
            const real = window.fetch;
            window.fetch = async (path, options) => {
                sent.push([new URL(path, location).searchParams.get("image_id"), options.body.has("image")]);
                const [text, status] = answers.shift();
                return new Response(text, { status });
            };
            const file = new File(["x"], "x.jpg");
            let done = 0;
            const scorer = new Scorer(() => done++, (error) => sent.push(String(error)));
            for (let i = 0; i < 3; i++) {
                await scorer.score({ file, model: "m", preset: "", labels: new Blob([]), detail: "cells", tag: null });
            }
            window.fetch = real;
            return sent;
        }"""
    )
    assert sent == [[None, True], ["one", False], [None, True], ["two", False]]


def test_arithmetic_of_boxes(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const { gripAt, pulled, between, placementOf, History } = await import("./page/score/boxes.js");
            const box = { x1: 10, y1: 20, x2: 50, y2: 60 };
            const image = { width: 100, height: 80 };
            const spec = { input_width: 416, input_height: 608, resize: { placement: "letterbox" } };
            const places = [[10, 20], [30, 20], [52, 62], [30, 40], [70, 40], [8, 40]];
            const pull = (...how) => pulled(box, ...how, image);
            const history = new History([]);
            history.push([1]);
            history.push([2]);
            return {
                grips: places.map(([x, y]) => gripAt(box, x, y, 4)),
                moved: [pull("move", -30, 5), pull("move", 99, 99)],
                corners: [pull("se", 500, -500), pull("nw", -3, 2), pull("e", 4, 9)],
                drawn: between([120, 5], [7, -3], image),
                placed: [
                    placementOf(spec, { width: 832, height: 401 }),
                    placementOf({ ...spec, resize: { placement: "stretch" } }, image),
                ],
                history: [history.undo(), history.undo(), history.undo(), history.redo(), history.labels],
            };
        }"""
    )

    def box(*edges: float) -> dict[str, float]:
        return dict(zip(("x1", "y1", "x2", "y2"), edges, strict=True))

    assert found["grips"] == ["nw", "n", "se", "move", None, "w"]
    assert found["moved"] == [box(0, 25, 40, 65), box(60, 40, 100, 80)]
    assert found["corners"] == [box(10, 20, 100, 22), box(7, 22, 50, 60), box(10, 20, 54, 60)]
    assert found["drawn"] == box(7, 0, 100, 5)
    assert found["placed"][0] == {"left": 0, "top": 204, "width": 416, "height": 200}
    assert found["placed"][1] == {"left": 0, "top": 0, "width": 416, "height": 608}
    assert found["history"] == [True, True, False, True, [1]]


def test_the_formulas_are_those_of_the_documents(page: Page) -> None:
    formulas, darknet = page.evaluate(
        """async () => {
            const { FORMULAS, DARKNET } = await import("./page/score/formulas.js");
            return [FORMULAS, DARKNET];
        }"""
    )
    text = (ROOT / "docs" / "losses.md").read_text()
    equations = {
        title: "".join(re.findall(r"\$\$(.+?)\$\$", part, re.DOTALL))
        for title, part in re.findall(r"^## ([^\n(]+?)(?: \([^\n]*)?\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    }
    homes = {"v1": "YOLOv1", "v2": "YOLOv2", "v3": "YOLOv3", "v4": "YOLOv4"}
    assert darknet in equations["Darknet's gradients"]
    for preset, terms in formulas.items():
        equation = equations[homes.get(preset, "The article")]
        for name, parts in terms.items():
            own = equations["YOLOv3"] if preset == "v4" and name != "box" else equation
            assert all(part in own for part in parts), (preset, name)


def test_no_one_is_shut_out_of_scores(page: Page, node_packages: Path, tmp_path: Path) -> None:
    open_labels(page, tmp_path)
    page.locator("#score-objects button").first.click()
    assert not serious_findings(page, node_packages)
