"""Text in any script: a font that has its characters, or the words given instead."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from yoloscope.models import fonts
from yoloscope.models.fonts import FALLBACKS, Font, font_for


def ink(text: str, font: Font) -> np.ndarray:
    image = Image.new("L", (200, 40))
    ImageDraw.Draw(image).text((2, 2), text, fill=255, font=font)
    return np.asarray(image)


@pytest.mark.parametrize("text", ["é", "Ж", "Ω", "ελ", "кровь", "العربية", "עברית", "红细胞 0.93", "日本", "한국"])
def test_scripts_of_the_shipped_fonts_are_drawn_where_the_machine_has_none(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "font_paths", lambda: FALLBACKS)
    fonts._path_for.cache_clear()
    drawn, font = font_for(text, 20, "class 3")
    fonts._path_for.cache_clear()
    assert drawn == text
    assert ink(text[0], font).any()
    assert (ink(text[0], font) != ink("\U0010fffd", font)).any()


def test_characters_that_no_font_has_give_the_words_instead() -> None:
    assert font_for("\U0010fffe\u0378", 20, "class 3")[0] == "class 3"


def test_different_characters_look_different() -> None:
    _, font = font_for("红细胞", 20, "class 3")
    assert (ink("红", font) != ink("细", font)).any()


def test_arabic_is_joined_and_runs_from_the_right() -> None:
    _, font = font_for("العربية", 20, "class 3")
    apart = sum(font.getlength(letter) for letter in "العربية")
    assert font.getlength("العربية") < apart * 0.95
