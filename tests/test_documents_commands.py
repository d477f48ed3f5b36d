"""The commands in the documents: options, targets, modules and routes that exist; what is cheap is run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import ROOT
from yoloscope.app.cli import build
from yoloscope.app.main import create_app
from yoloscope.models.registry import names as network_names

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CHEAP = {"explain", "models"}


def command_lines(document: Path) -> Iterator[str]:
    """Lines after a prompt, lines of sh blocks, and code within sentences."""
    text = document.read_text()
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
        elif language == "sh":
            yield from lines
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", outside)


def calls(program: str) -> list[tuple[str, list[str]]]:
    """Each call of a program in the documents: where, and its words without settings before it."""
    found = []
    for document in DOCUMENTS:
        for line in command_lines(document):
            for part in line.split("&&"):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words and words[0] == program and len(words) > 1:
                    found.append((document.name, words[1:]))
    return found


def labeled(found: list[tuple[str, list[str]]]) -> list[Any]:
    return [pytest.param(words, id=f"{name}: {' '.join(words)}"[:90]) for name, words in found]


def is_cheap(words: list[str]) -> bool:
    return words[0] in CHEAP and "TOPIC" not in words


def set_scene(folder: Path, words: list[str]) -> None:
    """Make files and folders of the names in a call, for options that want them to be there."""
    for word in words:
        path = folder / word
        if word.startswith(("-", "/", "@")) or ".." in word or "*" in word or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)


@pytest.mark.parametrize("words", labeled(calls("yoloscope")))
def test_a_command_of_ours_is_understood(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in words if word != "..."]
    set_scene(tmp_path, words)
    if words[-1] == "--help":
        assert CliRunner().invoke(build(words), words).exit_code == 0
        return
    known: dict[str, Any] = vars(typer.main.get_command(build(words)))["commands"]
    assert words[0] in known
    if len(words) > 1:
        known[words[0]].make_context(words[0], words[1:]).close()


def test_an_option_that_there_is_not_would_be_noticed() -> None:
    known: dict[str, Any] = vars(typer.main.get_command(build(["models"])))["commands"]
    with pytest.raises(Exception, match="No such option: --clases"):
        known["models"].make_context("models", ["--clases"])


@pytest.mark.parametrize("words", labeled(calls("yoloscope")))
def test_networks_and_configurations_that_are_named_exist(words: list[str]) -> None:
    named = dict(pairwise(words))
    if "--network" in named:
        assert named["--network"] in network_names()
    config = named.get("--config", "")
    assert not config or (ROOT / "training" / "configs" / f"{config}.yaml").is_file() or config.endswith(".yaml")


@pytest.mark.parametrize("words", labeled([call for call in calls("yoloscope") if is_cheap(call[1])]))
def test_a_cheap_command_runs(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(build(words), words, env={"YOLOSCOPE_MODELS_DIR": str(tmp_path)})
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_the_built_in_model_detects_as_the_documents_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {tuple(words) for _, words in calls("yoloscope") if words[0] == "detect" and "builtin" in words}
    (line,) = lines
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(build(line), list(line), env={"YOLOSCOPE_PROVIDER": "cpu"})
    assert result.exit_code == 0, result.output
    assert (tmp_path / "cells.jpg").stat().st_size > 10_000


@pytest.mark.parametrize("words", labeled(calls("make")))
def test_a_target_of_make_exists(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets
    variables = {word.partition("=")[0] for word in words if "=" in word}
    assert all(re.search(rf"^{name} \?=", (ROOT / "Makefile").read_text(), re.MULTILINE) for name in variables)


@pytest.mark.parametrize("words", labeled([(name, words) for name, words in calls("python") if words[0] == "-m"]))
def test_a_module_that_is_run_exists(words: list[str]) -> None:
    assert importlib.util.find_spec(words[1]) is not None


@pytest.mark.parametrize("words", labeled(calls("curl")))
def test_a_route_that_is_called_exists(words: list[str]) -> None:
    (url,) = (urlsplit(word) for word in words if word.startswith("http"))
    operation = create_app().openapi()["paths"][url.path]["post"]
    options = {parameter["name"] for parameter in operation["parameters"]}
    assert parse_qs(url.query).keys() <= options
    parts = {word.partition("=")[0] for flag, word in pairwise(words) if flag == "-F"}
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert parts <= form["properties"].keys()
