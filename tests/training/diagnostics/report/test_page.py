"""The page of an audit: what it holds, and that nothing of a data set becomes markup."""

import base64
import hashlib
import html
import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.datasets.folders import write_image
from tests.training.diagnostics.reports import FINDINGS, HOSTILE, finding, open_pets, report_of
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.diagnostics.findings import finding_to_dict
from yoloscope.training.diagnostics.report import write_page
from yoloscope.training.diagnostics.report.crops import Crop, make_crops


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("pets")
    path = root / "report.html"
    write_page(report_of(), open_pets(root), path)
    return path.read_text(encoding="utf-8")


def embedded(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, object] = json.loads(found.group(1))
    return document


class TestContents:
    def test_findings_stand_by_kind_and_class_most_probable_first(self, page: str) -> None:
        assert re.findall(r"<h3[^>]*>([^<]*)</h3>", page) == [
            "missing: cat",
            "missing: dog",
            "class: dog",
            "location: cat",
            f"spurious: {html.escape(HOSTILE)}",
        ]
        assert re.findall(r'<h4[^>]*>([^<]*)</h4><span class="chance"[^>]*>([^<]*)<', page)[:3] == [
            ("add cat", "97%"),
            ("add dog", "60%"),
            ("relabel dog as cat", "90%"),
        ]

    def test_the_script_finds_the_same_findings_as_the_json(self, page: str) -> None:
        document = embedded(page)
        assert document["findings"] == {str(rank): finding_to_dict(one) for rank, one in enumerate(FINDINGS)}
        assert document["digest"] == hashlib.sha256(report_of().to_json().encode()).hexdigest()[:32]

    def test_label_and_suggestion_are_boxes_of_different_style(self, page: str) -> None:
        (card,) = re.findall(r'<article[^>]*data-index="3".*?</article>', page, re.DOTALL)
        assert '<rect x="5" y="5" width="5" height="5" class="label">' in card
        assert '<rect x="4" y="3" width="8" height="6" class="suggestion">' in card
        assert 'aria-label="images/a.png: label from (5, 5) to (10, 10), suggestion from (4, 3) to (12, 9)"' in card

    def test_flags_stand_apart_with_their_consequence(self, page: str) -> None:
        section = page[page.index('id="flags"') :]
        assert "it cannot be learned" in section
        assert "under a pixel" in section

    def test_notes_and_skipped_images_are_named(self, page: str) -> None:
        for words in ("one note", "images/c.png: not an image"):
            assert words in page

    def test_an_image_that_is_not_there_is_named(self, page: str) -> None:
        (card,) = re.findall(r'<article[^>]*data-index="4".*?</article>', page, re.DOTALL)
        assert "The image is not in the data set." in card

    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        write_page(report_of(), open_pets(tmp_path), tmp_path / "report.html", most=2)
        text = (tmp_path / "report.html").read_text()
        assert text.count("<article") == 2
        assert "The 2 most probable of all kinds are on this page; the other 3 are in the JSON and the CSV." in text

    def test_each_kind_has_a_quarter_of_the_places(self, tmp_path: Path) -> None:
        sure = [finding("spurious", "images/a.png", row, "cat", (0, 0, 5, 5), None, 0.9) for row in range(9)]
        faint = [finding("class", "images/a.png", 9, "cat", (0, 0, 5, 5), ("dog", (0, 0, 5, 5)), 0.1)]
        write_page(report_of(sure + faint), open_pets(tmp_path), tmp_path / "report.html", most=4)
        text = (tmp_path / "report.html").read_text()
        assert text.count("<article") == 4
        assert re.findall(r'data-index="(\d+)"', text) == ["9", "0", "1", "2"]


class TestSafety:
    def test_no_text_of_the_data_set_is_markup(self, page: str) -> None:
        assert HOSTILE not in page
        assert "<b>&" not in page
        assert html.escape(HOSTILE) in page
        assert "innerHTML" not in page

    def test_a_text_cannot_end_the_script(self, tmp_path: Path) -> None:
        hostile = "</script><script>alert(1)</script>"
        found = finding("spurious", "images/a.png", 0, hostile, (0, 0, 5, 5), None, 0.5, hostile)
        write_page(report_of([found]), open_pets(tmp_path), tmp_path / "report.html")
        text = (tmp_path / "report.html").read_text()
        assert hostile not in text
        assert embedded(text)["findings"] == {"0": finding_to_dict(found)}

    def test_the_policy_allows_this_style_and_script_alone(self, page: str) -> None:
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        assert policy.group(1).startswith("default-src 'none'; img-src data:; ")
        for element in (r"<style>(.*?)</style>", r'<script type="module">(.*?)</script>'):
            content = re.findall(element, page, re.DOTALL)[-1]
            assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy.group(1)
        assert not re.search(r'\sstyle="|\son\w+="', re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))

    def test_nothing_outside_is_referred_to(self, page: str) -> None:
        assert set(re.findall(r'(?:href|src)="([^"]{0,5})', page)) <= {
            "data:",
            "#miss",
            "#clas",
            "#loca",
            "#spur",
            "#flag",
        }


class TestCrops:
    def test_a_photo_is_turned_upright_by_its_orientation(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images/a.jpg", orientation=6)
        (tmp_path / "classes.txt").write_text("cat\n")
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.9 0.9\n")
        found = finding("spurious", "images/a.jpg", 0, "cat", (0, 0, 30, 40), None, 0.5)
        crop = make_crops([found], open_dataset(tmp_path))[found]
        assert isinstance(crop, Crop)
        assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, 30, 40)
        with Image.open(BytesIO(base64.b64decode(crop.uri.removeprefix("data:image/jpeg;base64,")))) as image:
            assert image.size == (30, 40)

    def test_a_crop_has_the_pixels_around_both_boxes(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        pixels = np.zeros((400, 600, 3), np.uint8)
        pixels[100:120, 200:220] = 255
        Image.fromarray(pixels).save(tmp_path / "images/a.png")
        (tmp_path / "classes.txt").write_text("cat\n")
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
        found = finding("location", "images/a.png", 0, "cat", (200, 100, 220, 120), ("cat", (210, 110, 250, 120)), 0.5)
        crop = make_crops([found], open_dataset(tmp_path))[found]
        assert isinstance(crop, Crop)
        # around (200..250, 100..120): center (225, 110), half 50 * (.5 + .625) = 56.25
        assert (crop.left, crop.top, crop.width, crop.height) == (168, 53, 114, 114)
        with Image.open(BytesIO(base64.b64decode(crop.uri.removeprefix("data:image/jpeg;base64,")))) as image:
            inner = np.asarray(image)
        assert inner[50:64, 35:49].min() > 240
        assert inner[:40].max() < 20
