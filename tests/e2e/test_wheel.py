"""The wheel, installed in a fresh environment, in a folder that holds somebody else's app, models and training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

BLOOD = ROOT / "docs" / "images" / "blood.jpg"
SCRIPT = """
import torch
import yoloscope
from yoloscope.training.losses import compute_loss

print(yoloscope.__file__)
print(len(yoloscope.load("builtin", provider="cpu").detect({image!r})), compute_loss.__name__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("app", "models", "training", "src"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*command, str(source)], check=True, capture_output=True, env=environment, timeout=1200)
    (built,) = folder.glob("yoloscope-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on comes from this one, which is told by a path file."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another project, whose packages must not be touched."""
    folder = tmp_path_factory.mktemp("foreign")
    for name in ("app", "models", "training"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of somebody else was imported')\n")
        (folder / name / "cli.py").write_text("print('code of somebody else')\n")
    return folder


def _run(python: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env={**inherited, "YOLOSCOPE_MODELS_DIR": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def test_the_wheel_holds_every_package_and_file_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    sources = {
        f"yoloscope/{path.relative_to(ROOT).as_posix()}"
        for package in ("app", "models", "training")
        for kind in ("*.py", "*.yaml", "*.onnx", "*.css", "*.js")
        for path in (ROOT / package).rglob(kind)
    }
    web = ROOT / "app" / "web"
    sources |= {f"yoloscope/app/web/{path.relative_to(web).as_posix()}" for path in web.rglob("*.*")}
    assert sources <= set(names)
    assert {"yoloscope/__init__.py", "yoloscope/api.py", "yoloscope/py.typed"} <= set(names)
    assert not [name for name in names if not name.startswith(("yoloscope/", "yoloscope-"))]


def test_a_script_beside_foreign_packages(python: Path, foreign: Path) -> None:
    script = foreign / "script.py"
    script.write_text(SCRIPT.format(image=str(BLOOD)))
    run = _run(python, foreign, "script.py")
    assert run.returncode == 0, run.stderr[-2000:]
    where, found = run.stdout.splitlines()
    assert Path(where).is_relative_to(python.parent.parent)
    assert int(found.split()[0]) > 5


@pytest.mark.parametrize("command", ["detect", "score"])
def test_commands_beside_foreign_packages(python: Path, foreign: Path, command: str) -> None:
    labels = foreign / "blood.txt"
    labels.write_text("1 .5 .5 .2 .2\n")
    arguments = [str(BLOOD), *([str(labels)] if command == "score" else [])]
    call = "import sys; from yoloscope.app.cli import main; sys.argv[0] = 'yoloscope'; main()"
    run = _run(
        python, foreign, "-P", "-c", call, command, *arguments, "--model", "builtin", "--provider", "cpu", "--json"
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert '"model": "builtin"' in run.stdout or '"model":"builtin"' in run.stdout


def test_pull_beside_foreign_packages(python: Path, foreign: Path, oracles_dir: Path) -> None:
    """detect starts a process that pulls, as the command of the wheel: no module of the folder may come into it."""
    call = "import sys; from yoloscope.app.cli import main; sys.argv[0] = 'yoloscope'; main()"
    weights = str(oracles_dir / "weights" / "yolov4-tiny")
    arguments = ("detect", str(BLOOD), "--model", "yolov4-tiny", "--provider", "cpu", "--json")
    run = _run(python, foreign, "-P", "-c", call, *arguments, YOLOSCOPE_WEIGHTS=weights)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "somebody else" not in run.stdout + run.stderr
    assert (foreign / "cache" / "yolov4-tiny.onnx").is_file()
