"""The guide's numbers: docs/losses.md shows what the command prints, and the command what the presets compute."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yoloscope.training import explain

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "losses.md"
SHOWN = dict(
    re.findall(
        r"```console\n\$ python -m yoloscope\.training\.explain (\w+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
)


def test_the_document_shows_every_section() -> None:
    assert set(SHOWN) == set(explain.SECTIONS)


@pytest.mark.parametrize("section", explain.SECTIONS)
def test_the_document_shows_what_the_command_prints(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main([section]) == 0
    assert capsys.readouterr().out == SHOWN[section]


def test_all_sections_are_printed_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main([]) == 0
    assert capsys.readouterr().out == "".join(SHOWN[name] for name in explain.SECTIONS)


def test_an_unknown_section_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main(["v5"]) == 2
    assert "expected sections of constants" in capsys.readouterr().err


def test_the_filter_frees_predictors_that_see_the_object() -> None:
    lines = list(explain.maxiou())
    assert [line.split()[5] for line in lines[2:6]] == ["ignored", "ignored", "background", "background"]
    assert [float(line.split()[6]) for line in lines[2:6]] == [0, 0, 0.64, 0.64]
