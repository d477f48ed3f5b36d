"""The Python interface answers what the service answers, on a path, bytes, a PIL image and pixels alike."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import yoloscope
from tests.app.artifact import write_tiny_artifact
from tests.conftest import ROOT
from yoloscope.app.cli import build
from yoloscope.models.errors import ConfigError, ImageDecodeError, ImageTypeError, LabelError, RequestError
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.data.datasets import open_dataset

BLOOD = ROOT / "docs" / "images" / "blood.jpg"


@pytest.fixture(scope="module")
def model() -> yoloscope.Model:
    return yoloscope.load("builtin", provider="cpu", threads=1)


def test_importing_costs_no_torch() -> None:
    code = "import sys, yoloscope; print('torch' in sys.modules, yoloscope.__version__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert run.stdout.split() == ["False", version("yoloscope")]


def test_every_public_name_is_there() -> None:
    for name in yoloscope.__all__:
        assert getattr(yoloscope, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = yoloscope.nothing


class TestDetect:
    def test_cells_are_found_inside_the_image(self, model: yoloscope.Model) -> None:
        result = model.detect(BLOOD)
        with Image.open(BLOOD) as image:
            assert (result.width, result.height) == image.size
        assert len(result) > 5
        assert set(result.class_names) <= {"Platelets", "RBC", "WBC"}
        assert np.all(np.diff(result.scores) <= 0)
        centers = (result.boxes_xyxy_px[:, :2] + result.boxes_xyxy_px[:, 2:]) / 2
        assert ((centers >= 0) & (centers <= (result.width, result.height))).all()

    def test_every_kind_of_source_gives_the_same(self, model: yoloscope.Model) -> None:
        with Image.open(BLOOD) as image:
            pixels = np.asarray(image.convert("RGB"))
            results = [model.detect(source) for source in (BLOOD, str(BLOOD), BLOOD.read_bytes(), image, pixels)]
        for other in results[1:]:
            assert np.array_equal(other.boxes_xyxy_px, results[0].boxes_xyxy_px)

    def test_options(self, model: yoloscope.Model) -> None:
        white = model.detect(BLOOD, classes=["WBC"], score_threshold=0.5)
        assert set(white.class_names) == {"WBC"}
        assert len(model.detect(BLOOD, max_detections=2)) == 2
        with pytest.raises(RequestError, match="'zebra'"):
            model.detect(BLOOD, classes=["zebra"])

    def test_other_pixels_are_refused(self, model: yoloscope.Model) -> None:
        with pytest.raises(ImageDecodeError, match=r"expected pixels uint8 \[H, W, 3\] in RGB, got float64 \[4, 4\]"):
            model.detect(np.zeros((4, 4)))  # type: ignore[arg-type]


class TestScore:
    def test_terms_and_objects_sum_to_the_total(self, model: yoloscope.Model) -> None:
        best = model.detect(BLOOD, max_detections=2)
        objects = [
            {"class_name": name, "box": dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))}
            for name, box in zip(best.class_names, np.clip(best.boxes_xyxy_px, 0, 479).tolist(), strict=True)
        ]
        score = model.score(BLOOD, {"objects": objects})
        assert sum(term.weighted for term in score.terms.values()) == pytest.approx(score.total, rel=1e-5)
        assert score.by_object is not None
        assert [entry.class_name for entry in score.by_object] == list(best.class_names)

    def test_wrong_labels_are_named(self, model: yoloscope.Model) -> None:
        with pytest.raises(LabelError, match="lines/0"):
            model.score(BLOOD, b"7 .5 .5 .1 .1\n")


def test_an_audit_is_that_of_the_command_and_its_copy_is_mended(model: yoloscope.Model, tmp_path: Path) -> None:
    for place, name, content in (
        ("images", "blood.jpg", BLOOD.read_bytes()),
        ("labels", "blood.txt", b"1 .2 .3 .1 .1\n"),
    ):
        (tmp_path / "cells" / place).mkdir(parents=True)
        (tmp_path / "cells" / place / name).write_bytes(content)
    (tmp_path / "cells" / "classes.txt").write_text("Platelets\nRBC\nWBC\n")
    report = yoloscope.audit(tmp_path / "cells", model=model, output=tmp_path / "audit", prevalence={"missing": 0.2})
    command = ["audit", "--data", str(tmp_path / "cells"), "-m", "builtin", "--prevalence", "missing=.2", "--json"]
    printed = CliRunner().invoke(build(command), command, env={"YOLOSCOPE_PROVIDER": "cpu"}).stdout
    assert printed.strip() == report.to_json() == (tmp_path / "audit" / "report.json").read_text()
    assert report.findings[0].probability > 0.9
    mended = yoloscope.mend(report, tmp_path / "cells", tmp_path / "mended", accept_probability=0.9)
    accepted = [finding for finding in report.findings if finding.probability >= 0.9]
    assert sum(mended.counts.values()) == len(accepted) > 5
    assert (
        len(open_dataset(tmp_path / "mended").images[0].labels) == 1 + mended.counts["added"] - mended.counts["deleted"]
    )


def test_export_in_half_precision_detects_the_same(model: yoloscope.Model, tmp_path: Path) -> None:
    path = yoloscope.export(BUILTIN, tmp_path / "half.onnx", precision="fp16")
    half = yoloscope.load(path, provider="cpu", threads=1).detect(BLOOD)
    whole = model.detect(BLOOD)
    assert abs(len(half) - len(whole)) <= 1
    assert np.abs(half.scores[:3] - whole.scores[:3]).max() < 0.01
    with pytest.raises(ConfigError, match="expected images for int8"):
        yoloscope.export(BUILTIN, tmp_path / "x.onnx", precision="int8")


def test_a_model_of_four_planes_takes_arrays_of_four(tmp_path: Path) -> None:
    planes = yoloscope.load(write_tiny_artifact(tmp_path / "thermal.onnx", planes=4), provider="cpu", threads=1)
    result = planes.detect(np.full((48, 64, 4), 51, np.uint8))
    assert result.scores[0] == pytest.approx(0.6)
    with pytest.raises(ImageDecodeError, match=r"expected pixels uint8 \[H, W, 4\], got uint8 \[48, 64, 3\]"):
        planes.detect(np.full((48, 64, 3), 51, np.uint8))
    with pytest.raises(ImageTypeError, match="expected an image of 4 planes, got one of 3"):
        planes.detect(BLOOD)


def test_bytes_that_are_cut_off_are_an_error(model: yoloscope.Model) -> None:
    for data in (BLOOD.read_bytes()[:20_000], b"no image"):
        with pytest.raises(ImageDecodeError, match="expected the bytes of a whole image"):
            model.detect(data)
