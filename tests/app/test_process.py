"""The process of a command: it starts anew, once, for huge pages where the system gives them to those that ask."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
from pathlib import Path
from yoloscope.app.process import ask_for_large_pages
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], flush=True)
ask_for_large_pages(os.environ, Path(sys.argv[1]))
print("goes on")
"""


def without_tunables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}


def lines(mode: Path, tunables: str | None) -> list[list[str]]:
    environment = without_tunables()
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, "-X", "utf8", "-c", CODE, str(mode), "--port", "1 2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [line.split(" ", 2) for line in done.stdout.splitlines()]


@pytest.fixture
def mode(tmp_path: Path) -> Path:
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


def test_it_starts_anew_once_with_its_arguments(mode: Path) -> None:
    first, second, last = lines(mode, None)
    assert last == ["goes", "on"]
    assert first[0] == second[0], "the process stays the same"
    assert first[1:] == ["None", f"{mode} --port 1 2"]
    assert second[1:] == ["glibc.malloc.hugetlb=1", f"{mode} --port 1 2"]


@pytest.mark.parametrize("text", ["[always] madvise never\n", "always madvise [never]\n", None])
def test_where_the_system_gives_them_to_all_or_to_none_nothing_happens(mode: Path, text: str | None) -> None:
    if text is None:
        mode.unlink()
    else:
        mode.write_text(text)
    first, last = lines(mode, None)
    assert (first[1], last) == ("None", ["goes", "on"])


def test_arguments_of_another_program_are_not_started(mode: Path) -> None:
    other = CODE.replace("import os, sys", f"import os, sys; sys.argv = ['yoloscope', {str(mode)!r}]", 1)
    done = subprocess.run(
        [sys.executable, "-c", other, "serve"], env=without_tunables(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == ["goes on"]


def test_what_the_operator_says_stays(mode: Path) -> None:
    first, last = lines(mode, "glibc.malloc.arena_max=2")
    assert (first[1], last) == ("glibc.malloc.arena_max=2", ["goes", "on"])
