from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import voc_xml, write_text, write_voc
from tests.training.evaluation.stand_in import StandIn, spec_of
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.evaluation.evaluate import Evaluation, evaluate
from yoloscope.training.evaluation.report import render_page
from yoloscope.training.evaluation.report.markup import Markup, decimal, tag

VOID = {"meta"}


class Checker(HTMLParser):
    """Collects text and attributes, and fails on elements that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(page: str) -> str:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert checker.links == []
    assert "url(" not in page
    return " ".join(checker.text)


def perfect(root: Path, name: str = "cat") -> Evaluation:
    write_voc(root)
    write_text(root / "Annotations/a.xml", voc_xml([(name, (4, 3, 12, 9))]))
    dataset = open_dataset(root)
    return evaluate(StandIn(dataset, spec_of(dataset.class_names)), dataset)


def test_the_page_is_whole_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    text = check(render_page(perfect(tmp_path), "tiny"))
    for part in ("Evaluation of tiny", "2 images, 2 objects", "1.000", "dog", "No class is taken for another."):
        assert part in text


def test_names_from_the_data_are_escaped(tmp_path: Path) -> None:
    page = render_page(perfect(tmp_path, "&lt;script&gt;x&lt;/script&gt;"), "<b>")
    assert "<script>" not in page
    assert "<b></h1>" not in page
    assert "<script>x</script>" in check(page)


@pytest.mark.parametrize("num_classes", [1, 40])
def test_few_classes_have_colors_and_many_are_cut_to_the_worst(tmp_path: Path, num_classes: int) -> None:
    write_voc(tmp_path)
    rows = [(f"kind{index}", (4, 3, 12, 9)) for index in range(num_classes)]
    write_text(tmp_path / "Annotations/a.xml", voc_xml(rows))
    write_text(tmp_path / "Annotations/b.xml", voc_xml([]))
    dataset = open_dataset(tmp_path)
    page = render_page(evaluate(StandIn(dataset, spec_of(dataset.class_names)), dataset), "tiny")
    text = check(page)
    assert page.count("<polyline") == num_classes + 1
    assert ("each of 40 classes" in text) == (num_classes == 40)
    assert ("the other 24 are in the JSON" in text) == (num_classes == 40)


def test_a_data_set_without_objects_still_has_a_page(tmp_path: Path) -> None:
    write_voc(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\n")
    for stem in ("a", "b"):
        write_text(tmp_path / f"Annotations/{stem}.xml", voc_xml([]))
    dataset = open_dataset(tmp_path)
    assert "No objects, no curves." in check(
        render_page(evaluate(StandIn(dataset, spec_of(("cat",))), dataset), "tiny")
    )


def test_markup_escapes_text_and_keeps_markup() -> None:
    assert (
        tag("a", "<&", Markup("<b></b>"), class_="x y", data_z=1.5)
        == '<a class="x y" data-z="1.5">&lt;&amp;<b></b></a>'
    )


@pytest.mark.parametrize(("value", "text"), [(0.12345, "0.123"), (-1.0, "–"), (float("nan"), "–"), (None, "–")])  # noqa: RUF001
def test_what_is_not_a_number_is_a_dash(value: float | None, text: str) -> None:
    assert decimal(value) == text
