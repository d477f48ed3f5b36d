"""``yoloscope explain``: its tables as docs/losses.md shows them, its JSON, its width."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from yoloscope.app.cli import build
from yoloscope.models.errors import ConfigError
from yoloscope.training.explain import TOPICS, WALKTHROUGH

SHOWN = dict(
    re.findall(
        r"```console\n\$ yoloscope explain (\w+)\n(.*?)```", (ROOT / "docs" / "losses.md").read_text(), re.DOTALL
    )
)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build(["explain"]), ["explain", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_document_shows_what_the_command_prints(topic: str) -> None:
    assert trimmed(run(topic)) == trimmed(SHOWN[topic])


def test_topics_are_listed_without_one() -> None:
    listed = run().splitlines()
    assert [line.split()[0] for line in listed[1 : listed.index("")] if line and not line.startswith(" ")] == list(
        TOPICS
    )


def test_all_prints_every_topic_within_80_columns() -> None:
    printed = run("all")
    assert [
        line.split(":")[0] for line, below in pairwise(printed.splitlines()) if below.startswith("Source: ")
    ] == list(TOPICS)
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed


def test_json_holds_all_digits_by_the_names_of_the_columns() -> None:
    (topic,) = json.loads(run("walkthrough", "--json"))["topics"]
    assert (topic["topic"], topic["source"]) == ("walkthrough", WALKTHROUGH)
    third = topic["tables"][2]["rows"][1]
    assert third == {
        "x', y', w', h'": "0.4, 0.5, 2.8, 4",
        "filled in": third["filled in"],
        "loss": third["loss"],
        "text": 0.06,
    }
    assert third["loss"] == pytest.approx((2.8**0.5 - 2.4**0.5) ** 2 + (2 - 3.2**0.5) ** 2, abs=1e-6)
    assert [entry["topic"] for entry in json.loads(run("--json"))["topics"]] == list(TOPICS)


def test_an_unknown_topic_is_an_error_that_lists_the_known_ones() -> None:
    result = CliRunner().invoke(build(["explain"]), ["explain", "v5"])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith("expected topics of constants, v1, ")
    assert str(result.exception).endswith("all, got v5")
