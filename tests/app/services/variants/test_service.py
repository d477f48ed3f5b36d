"""A service with a variant: made by its own process, swapped in, dropped where it fails."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.app.client import Client
from tests.training.export.small import write_lively
from tests.training.runs import write_shapes
from yoloscope.app.cli import main
from yoloscope.app.commands import quantize as command
from yoloscope.app.main import create_app
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.variants import detectors
from yoloscope.app.services.variants.detectors import DETECTION, INT8, NETWORK, OpenVinoDetector
from yoloscope.app.services.variants.report import read_report, variants_folder
from yoloscope.app.services.variants.service import Variants, VariantStatus
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ConfigError, ModelLoadError
from yoloscope.models.files import sha256
from yoloscope.training.export.artifact import read_artifact, with_spec
from yoloscope.training.export.consumers import heads_graph
from yoloscope.training.export.quantization import int8

LEVELS = np.random.default_rng(0).random((2, 64, 64, 3), np.float32) * 255


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("variants")
    data = write_shapes(folder / "data", train=66)
    (folder / "models").mkdir()
    write_lively(folder / "models" / "small.onnx", data, width=0.125)
    return Settings(
        models_dir=folder / "models",
        model="small",
        precision="int8",
        calibration_data=data,
        provider="cpu",
        threads=1,
        audits_dir=folder / "audits",
    )


@pytest.fixture(scope="module")
def made(settings: Settings) -> Path:
    """The folder of the variants, made by ``yoloscope quantize`` with a short search."""
    arguments = ["yoloscope", "quantize", "small", "--data", str(settings.calibration_data), "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*arguments, "--models-dir", str(settings.models_dir)])
        patch.setattr(int8, "MOST_RANKED", 1)
        patch.setattr(int8, "METHODS", ("extremes",))
        patch.setattr(command, "CALIBRATED", 8)
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code
    path = settings.models_dir / "small.onnx"
    return variants_folder(settings.models_dir, sha256(path), settings.calibration_data, settings.threads)


@pytest.fixture(scope="module")
def client(settings: Settings, made: Path) -> Iterator[Client]:
    assert (made / INT8).is_file()
    with Client(create_app(settings)) as running:
        yield running


@pytest.fixture(scope="module")
def described(client: Client) -> dict[str, Any]:
    """The description once the variant is swapped in."""
    description: dict[str, Any] = client.get("/v1/models/small").json()
    end = monotonic() + 60
    while description["precision"]["state"] == "preparing" and monotonic() < end:
        sleep(0.05)
        description = client.get("/v1/models/small").json()
    assert description["precision"]["state"] == "ready"
    return description


def prepared(variants: Variants, runtime: Runtime) -> VariantStatus:
    """Prepare a model and return its state once there is one."""
    variants.prepare("small", runtime)
    end = monotonic() + 120
    while variants.status("small", runtime).state == "preparing" and monotonic() < end:
        sleep(0.02)
    return variants.status("small", runtime)


def test_the_answer_says_what_runs_and_what_it_costs(described: dict[str, Any], made: Path) -> None:
    precision, report = described["precision"], read_report(made)
    assert report is not None
    assert precision["running"] == "int8"
    assert precision["reason"] == "it was asked for"
    assert precision["measured_against"] == "labels"
    assert (precision["calibration_images"], precision["measured_images"]) == (8, 34)
    best = max((one for one in report.variants if one.precision == "int8"), key=lambda one: one.speedup)
    assert (precision["engine"], precision["ap_drop"]) == (best.engine, best.ap_drop)
    assert best.ap is not None
    assert report.ap is not None
    assert best.ap_drop == report.ap - best.ap


@pytest.mark.usefixtures("described")
def test_the_variant_detects_and_fp32_gives_the_heads(settings: Settings, client: Client) -> None:
    runtime = client.app.state.services.store.get("small")
    plain = Runtime(settings.models_dir / "small.onnx", "cpu", 1)
    thresholds = [0.01] * 2, [0.45] * 2
    found, expected = (one.detect(LEVELS, *thresholds) for one in (runtime.variant, runtime))
    for one, other, own in zip(found, expected, plain.detect(LEVELS, *thresholds), strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert one.scores.tolist() != own.scores.tolist()
    for head, same in zip(runtime.heads(LEVELS), plain.heads(LEVELS), strict=True):
        np.testing.assert_array_equal(head, same)


def test_variants_of_a_model_that_changes_meanwhile_are_not_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would stand under the name of the model of before, which no start would find right."""
    source, after = tmp_path / "a.onnx", tmp_path / "b.onnx"
    shutil.copy(settings.models_dir / "small.onnx", source)
    model, spec = read_artifact(source)
    after.write_bytes(with_spec(model, spec.model_copy(update={"name": "another"})).SerializeToString())

    def write(*_: object) -> tuple[str, ...]:
        after.replace(source)
        return ()

    monkeypatch.setattr(command, "_write", write)
    folder = variants_folder(tmp_path, sha256(source), settings.calibration_data, 1)
    with pytest.raises(ConfigError, match="expected a model and images that stay as they are meanwhile"):
        command.make_variants(source, folder, settings.model_copy(update={"models_dir": tmp_path}))
    assert list((tmp_path / "variants").iterdir()) == []


@pytest.mark.usefixtures("made")
def test_the_next_start_takes_what_is_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variants, "_make", lambda *_: pytest.fail("it was made again"))
    for precision, running in (("int8", "int8"), ("auto", None), ("fp32", "fp32")):
        variants = Variants(settings.model_copy(update={"precision": precision, "max_ap_drop": 1.0}))
        runtime = Runtime(settings.models_dir / "small.onnx", "cpu", 1)
        status = prepared(variants, runtime)
        variants.close()
        taken = status.variant.precision if status.variant else "fp32"
        assert (runtime.variant is None) == (taken == "fp32")
        assert running in {taken, None}


@pytest.mark.usefixtures("made")
def test_a_variant_that_fails_gives_way_to_fp32(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        spec = Runtime(settings.models_dir / "small.onnx", "cpu", 1).spec
        images_at_once = 1

        def detect(self, *_: object, half: bool = False) -> list[Any]:
            raise RuntimeError(f"no more memory {half=}")

    variants = Variants(settings)
    runtime = Runtime(settings.models_dir / "small.onnx", "cpu", 1)
    assert prepared(variants, runtime).state == "ready"
    runtime.variant = Broken()
    found = runtime.detect(LEVELS, [0.01] * 2, [0.45] * 2)
    own = Runtime(runtime.path, "cpu", 1).detect(LEVELS, [0.01] * 2, [0.45] * 2)
    np.testing.assert_array_equal(found[0].scores, own[0].scores)
    assert "from now on it detects in fp32" in caplog.text
    status = variants.status("small", runtime)
    assert (status.state, status.variant) == ("failed", None)
    variants.close()


def test_what_cannot_be_made_leaves_fp32_with_the_reason(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "few").mkdir()
    Image.fromarray(LEVELS[0].astype(np.uint8)).save(tmp_path / "few" / "1.png")
    variants = Variants(settings.model_copy(update={"precision": "auto", "calibration_data": tmp_path / "few"}))
    runtime = Runtime(settings.models_dir / "small.onnx", "cpu", 1)
    status = prepared(variants, runtime)
    variants.close()
    assert status.state == "failed"
    assert status.reason == "its variant could not be made or opened, see the log"
    assert runtime.variant is None
    assert "expected at least 64 images" in caplog.text


def test_images_that_are_not_there_are_said_in_a_line(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    variants = Variants(settings.model_copy(update={"precision": "auto", "calibration_data": tmp_path / "none"}))
    status = prepared(variants, Runtime(settings.models_dir / "small.onnx", "cpu", 1))
    variants.close()
    assert status.state == "failed"
    assert "No such file or directory" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"precision": "fp32"}, "the setting precision is fp32"),
        ({"precision": "auto", "calibration_data": None}, "there are no images to measure a variant on"),
    ],
)
def test_fp32_is_kept_for_a_reason(settings: Settings, changes: dict[str, Any], why: str) -> None:
    variants = Variants(settings.model_copy(update=changes))
    runtime = Runtime(settings.models_dir / "small.onnx", "cpu", 1)
    variants.prepare("small", runtime)
    status = variants.status("small", runtime)
    assert status.state == "fp32"
    assert status.reason.startswith(why)


@pytest.mark.parametrize("named", ["small", "builtin"])
def test_the_process_of_its_own_finds_the_same_folder(
    settings: Settings, made: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("YOLOSCOPE_MODEL", named)  # by which the service knows its model
    Variants(settings)._make(settings.models_dir / "small.onnx")
    assert list(made.parent.iterdir()) == [made]


def test_closing_ends_the_process_that_makes_a_variant(settings: Settings, tmp_path: Path) -> None:
    write = settings.models_dir / "small.onnx"
    copy = tmp_path / "small.onnx"
    copy.write_bytes(write.read_bytes())
    variants = Variants(settings.model_copy(update={"models_dir": tmp_path}))
    variants.prepare("small", Runtime(copy, "cpu", 1))
    end = monotonic() + 30
    while (process := variants._process) is None and monotonic() < end:
        sleep(0.01)
    assert process is not None
    variants.close()
    assert process.wait(20) != 0
    assert not list((tmp_path / "variants").glob("[!.]*"))


def test_float32_in_openvino_detects_as_the_artifact(
    settings: Settings, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seam between the two engines: input scaling, heads, decoding and suppression."""
    pytest.importorskip("openvino")
    artifact = settings.models_dir / "small.onnx"
    onnx.save(heads_graph(onnx.load(artifact)), tmp_path / NETWORK["bf16"])
    (tmp_path / DETECTION).write_bytes((made / DETECTION).read_bytes())
    monkeypatch.setattr(detectors, "has_bf16", lambda: False)
    runtime = Runtime(artifact, "cpu", 1)
    detector = OpenVinoDetector(tmp_path, runtime.spec, "bf16", 1)
    for images in (LEVELS, LEVELS.astype(np.uint8)):
        expected = runtime.detect(images, [0.3, 0.1], [0.45, 0.3])
        for one, other in zip(detector.detect(images, [0.3, 0.1], [0.45, 0.3]), expected, strict=True):
            assert len(other.scores)
            np.testing.assert_array_equal(one.class_ids, other.class_ids)
            np.testing.assert_allclose(one.scores, other.scores, atol=2e-4)
            np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, rtol=1e-3, atol=0.05)
    with pytest.raises(ModelLoadError, match="expected a network that OpenVINO can run"):
        OpenVinoDetector(tmp_path, runtime.spec, "int8", 1)
