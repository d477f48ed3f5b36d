"""The view Learn in Chromium: the numbers of `yoloscope explain`, which follow what is dragged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import CHROMIUM
from tests.e2e.shut_out import serious_findings
from yoloscope.models.boxes import paired_iou
from yoloscope.training.explain import TOPICS
from yoloscope.training.explain.example import anchor_example
from yoloscope.training.explain.walkthrough import TARGET
from yoloscope.training.losses.presets.walkthrough import WalkthroughCells, walkthrough_terms

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


def in_digits(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4e}".replace("e-0", "e-") if 0 < abs(value) < 1e-4 else f"{value:.4f}"
    return str(value)


def rows_of(topic: str, table: int, columns: list[str]) -> list[list[str]]:
    found = list(TOPICS[topic].tables())[table]
    return [[in_digits(row[found.columns.index(name)]) for name in columns] for row in found.rows]


@pytest.fixture
def learn(page: Page) -> Page:
    page.get_by_role("link", name="Learn").click()
    page.get_by_role("heading", name="What do a cell's other anchors pay").wait_for()
    expect(page.locator("#view-learn td", has_text="…")).to_have_count(0)
    expect(page.locator("#view-learn tbody tr")).to_have_count(16 + 5 + 5)
    return page


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def table_of(area: Locator) -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in area.locator("tbody tr").all()]


def test_every_number_of_the_walkthrough_stands_beside_the_texts(learn: Page) -> None:
    cards = learn.locator("#view-learn .card")
    shown = [row[1:] for number in range(3) for row in table_of(cards.nth(number))]
    names = ("error", "IoU", "loss", "loss", "loss", "loss")
    expected = [row for table, name in enumerate(names) for row in rows_of("walkthrough", table, [name, "text"])]
    assert len(expected) == 16
    assert shown == expected


def test_the_questions_have_the_numbers_of_the_documents(learn: Page) -> None:
    question = card(learn, "What does 1[MaxIoU < thresh] mean?")
    expect(question.locator("tbody tr")).to_have_count(5)
    expected = rows_of("maxiou", 0, ["cell", "anchor", "MaxIoU", "role", "cost", "without filter"])
    assert table_of(question)[1:] == [[f"{cell}, {anchor}", *rest] for cell, anchor, *rest in expected]
    expect(question.get_by_text("Of 845 predictors: 1 responsible, 5 ignored, 839 background.")).to_be_visible()
    other = card(learn, "What do a cell's other anchors pay when one has the object?")
    for preset, table in (("v2", 0), ("v4", 1)):
        other.get_by_role("radio", name=preset).check()
        found = list(TOPICS["anchors"].tables())[table]
        expect(other.locator("thead th")).to_have_count(len(found.columns))
        assert table_of(other) == rows_of("anchors", table, list(found.columns))


def test_heads_and_overlaps_are_those_of_the_service(learn: Page) -> None:
    head = learn.evaluate(
        """async () => {
            const { predictors, v2Head } = await import("./page/learn/losses.js");
            return v2Head(predictors());
        }"""
    )
    assert torch.allclose(torch.tensor(head, dtype=torch.float64), anchor_example().head[0], rtol=0, atol=1e-15)
    rng = random.Random(3)
    boxes = [
        [[rng.uniform(0, 5), rng.uniform(0, 5), rng.uniform(0, 4), rng.uniform(0, 4)] for _ in "ab"] for _ in "x" * 50
    ]
    found = learn.evaluate(
        """async (pairs) => {
            const { iou } = await import("./page/learn/boxes.js");
            const box = ([x, y, w, h]) => ({ x, y, w, h });
            return pairs.map(([a, b]) => iou(box(a), box(b)));
        }""",
        boxes,
    )
    pairs = torch.tensor(boxes, dtype=torch.float64)
    corners = torch.cat((pairs[..., :2] - pairs[..., 2:] / 2, pairs[..., :2] + pairs[..., 2:] / 2), dim=-1)
    assert found == pytest.approx(paired_iou(corners[:, 0], corners[:, 1]).tolist(), abs=1e-14)
    assert 10 < sum(value > 0 for value in found) < 50


def cat_terms(page: Page) -> dict[str, float]:
    """The terms of the cat as its fields and sliders are now, by the preset's own functions."""
    cat = card(page, "One cat, the whole loss")
    box = [float(field.input_value()) for field in cat.locator(".fields input").all()]
    scores = {
        name: float(cat.get_by_role("slider", name=name, exact=True).input_value())
        for name in ("Confidence C", "Score of cat", "Score of chair")
    }
    boxes, confidences, classes = torch.zeros(1, 1, 1, 2, 4), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    boxes[..., 0, :], confidences[..., 0] = torch.tensor(box), scores["Confidence C"]
    classes[0, 0, 0] = torch.tensor([scores["Score of cat"], scores["Score of chair"]])
    target = torch.tensor(TARGET).view(1, 1, 1, 4)
    one = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    terms = walkthrough_terms(WalkthroughCells(boxes, confidences, classes, target, one, torch.ones(1, 1, 1)))
    return {name: float(getattr(terms, name).sum()) for name in ("xy", "wh", "objectness", "classification")}


def shown_terms(page: Page) -> list[str]:
    return card(page, "One cat, the whole loss").locator(".formula .number").all_inner_texts()


def test_costs_follow_a_dragged_box_and_the_keys(learn: Page) -> None:
    box = learn.get_by_role("group", name="Prediction: 3.3")
    area = box.bounding_box()
    assert area is not None
    before = shown_terms(learn)
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 3
    learn.mouse.move(x, y)
    learn.mouse.down()
    learn.mouse.move(x + 30, y + 40, steps=6)
    learn.mouse.up()
    learn.keyboard.press("ArrowLeft")
    learn.keyboard.press("Shift+ArrowDown")
    learn.get_by_label("Score of chair").fill("0.35")
    total = card(learn, "One cat, the whole loss").locator(".legend li").last
    terms = cat_terms(learn)
    weighted = 5 * (terms["xy"] + terms["wh"]) + terms["objectness"] + terms["classification"] + 0.5 * 0.13
    expect(total).to_have_text(f"total {weighted:.4f}")
    expected = [terms["xy"] + terms["wh"], terms["objectness"], terms["classification"], 0.13]
    assert shown_terms(learn) == [f"{value:.4f}" for value in expected]
    assert shown_terms(learn)[:3] != before[:3]


def test_the_threshold_decides_who_pays(learn: Page) -> None:
    question = card(learn, "What does 1[MaxIoU < thresh] mean?")
    neighbor = question.locator("tbody tr").nth(2)
    expect(neighbor).to_contain_text("ignored")
    question.get_by_label("Threshold").fill("0.7")
    expect(neighbor.locator("td")).to_have_text(["0.6876", "background", "0.6400", "0.6400"])
    question.get_by_role("group", name="Label of the person").focus()
    for _ in range(8):
        learn.keyboard.press("ArrowRight")  # the center goes to the neighboring cell, whose anchor has the person now
    expect(neighbor.locator("td").nth(1)).to_have_text("responsible")


def test_no_one_is_shut_out_of_learning(learn: Page, node_packages: Path) -> None:
    assert serious_findings(learn, node_packages) == []
