"""The documents: every page is built, and their Python runs or at least parses."""

from __future__ import annotations

import ast
import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT
from tests.e2e.conftest import start_service
from tests.helpers.images import encoded
from tests.models.darknet.cfgs import conv, detector
from yoloscope.app.main import create_app
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import save_weights
from yoloscope.models.darknet.weights_header import WeightsHeader

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = {"README.md": ROOT / "README.md", **{name: ROOT / "docs" / name for name in ("index.md", "losses.md")}}
"""Documents whose Python runs in the checkout as it is."""
PREPARED = ("audit.md", "darknet.md", "datasets.md", "rest-api.md", "service.md")
"""Documents whose Python needs files, or a service, that tests below make."""


def snippets(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


MADE = ["rest-reference.md"]
"""Pages that are made when the site is built."""


def navigation() -> list[str]:
    return [page for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for page in entry.values()]


def test_every_document_is_in_the_navigation() -> None:
    assert sorted(navigation()) == sorted((*MADE, *(path.name for path in (ROOT / "docs").glob("*.md"))))


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for page in navigation():
        assert (tmp_path / page).with_suffix(".html").is_file()
    described = (tmp_path / "python-api.html").read_text()
    for name in ("load", "Model.detect", "Model.score", "DetectionResult"):
        assert f'id="yoloscope.api.{name}"' in described
    assert 'id="yoloscope.training_api.train"' in described
    require_formulas((tmp_path / "losses.html").read_text())
    require_reference((tmp_path / "rest-reference.html").read_text())


def require_formulas(page: str) -> None:
    """Every formula of the losses is MathML, the equations of several lines as tables; no LaTeX is left."""
    text = (ROOT / "docs" / "losses.md").read_text()
    equations = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    assert page.count('<div class="formula"><math') == len(equations) == 6
    assert page.count("<mtable") == sum("{aligned}" in equation for equation in equations) == 4
    without_code = re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    assert not re.search(r"\$|\\(?:sum|hat|begin)", without_code)


def require_reference(page: str) -> None:
    """Every route with its options, every schema with its fields."""
    document = create_app().openapi()
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in shown
            for option in operation.get("parameters", []):
                assert f"<code>{option['name']}</code>" in page
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name.lower()}"' in page
        assert all(f"<code>{field}</code>" in page for field in schema.get("properties", {}))


def test_the_rest_page_lists_every_route() -> None:
    page = (ROOT / "docs" / "rest-api.md").read_text()
    table = "".join(line for line in page.splitlines() if line.startswith("| `"))
    listed = re.findall(r"`(GET|POST|DELETE) ([^`]+)`", table)
    document = create_app().openapi()
    assert sorted(listed) == sorted(
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_parses(document: Path) -> None:
    for code in snippets(document, "python"):
        ast.parse(code)


def run_python(document: Path, folder: Path, **replaced: str) -> subprocess.CompletedProcess[str]:
    """Run a document's Python from top to bottom as printed, but for what is replaced, in a folder."""
    codes = snippets(document, "python")
    assert codes
    code = "\n".join(codes)
    for old, new in replaced.items():
        assert old in code
        code = code.replace(old, new)
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run


def test_every_document_with_python_is_run() -> None:
    assert sorted(path.name for path in DOCUMENTS if snippets(path, "python")) == sorted((*RUN, *PREPARED))


@pytest.mark.parametrize("name", RUN)
def test_python_runs_as_printed(name: str) -> None:
    run_python(RUN[name], ROOT)


def test_the_python_of_the_darknet_page_runs_on_a_cfg_and_its_weights(tmp_path: Path) -> None:
    cfg = tmp_path / "yolov4-tiny-custom.cfg"
    cfg.write_text(detector(conv()))
    network = build_darknet(cfg, class_names=["cat", "dog"])
    written = save_weights(network, WeightsHeader())
    (tmp_path / "yolov4-tiny-custom_best.weights").write_bytes(written)
    run_python(ROOT / "docs" / "darknet.md", tmp_path)


def test_the_python_of_the_audit_page_mends_a_data_set_by_its_report(tmp_path: Path) -> None:
    for place, name in (("images", "blood.jpg"), ("labels", "blood.txt")):
        (tmp_path / "cells" / place / "train").mkdir(parents=True)
        content = (ROOT / "docs" / "images" / name).read_bytes() if place == "images" else b"1 .2 .3 .1 .1\n"
        (tmp_path / "cells" / place / "train" / name).write_bytes(content)
    (tmp_path / "cells" / "classes.txt").write_text("Platelets\nRBC\nWBC\n")
    *findings, mended = run_python(ROOT / "docs" / "audit.md", tmp_path).stdout.splitlines()
    assert len(findings) == 10
    assert all(line.startswith("images/train/blood.jpg ") for line in findings)
    assert mended.endswith("('labels/train/blood.txt',)")


def test_the_python_of_the_data_sets_page_runs_on_a_data_set_with_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for place, content in (("images", b""), ("labels", b"0 .5 .5 .5 .5\n")):
            folder = tmp_path / "pets" / place / split
            folder.mkdir(parents=True)
            suffix = ".png" if place == "images" else ".txt"
            (folder / f"{split}{suffix}").write_bytes(content or encoded(Image.new("RGB", (8, 8))))
    (tmp_path / "pets" / "classes.txt").write_text("cat\n")
    run_python(ROOT / "docs" / "datasets.md", tmp_path)


def test_the_python_of_the_rest_page_runs_against_a_service(tmp_path: Path) -> None:
    service = start_service(YOLOSCOPE_MODEL="builtin", YOLOSCOPE_MODELS_DIR=str(tmp_path))
    try:
        said = run_python(ROOT / "docs" / "rest-api.md", tmp_path, **{"http://127.0.0.1:8000": service.url}).stdout
    finally:
        service.stop()
    total, _, terms = said.partition(" ")
    assert float(total) == pytest.approx(sum(term["weighted"] for term in ast.literal_eval(terms).values()), rel=1e-5)


def test_the_python_of_the_service_page_runs_against_a_service(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "images" / "blood.jpg", tmp_path / "image.jpg")
    service = start_service(YOLOSCOPE_MODEL="builtin", YOLOSCOPE_MODELS_DIR=str(tmp_path))
    try:
        address = service.url.removeprefix("http://")
        said = run_python(ROOT / "docs" / "service.md", tmp_path, **{"127.0.0.1:8000": address}).stdout
    finally:
        service.stop()
    assert "b'RBC'" in said
