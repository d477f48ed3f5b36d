"""``yoloscope export``, in this process, and its files in the service."""

import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.client import Client
from tests.training.export.small import write_lively
from tests.training.runs import write_shapes
from yoloscope.app.cli import main
from yoloscope.app.main import create_app
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.files import sha256
from yoloscope.training.export import compare as comparison
from yoloscope.training.export.quantization import int8

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export-command")
    data = write_shapes(folder / "data")
    (folder / "models").mkdir()
    write_lively(folder / "models" / "small.onnx", data, width=0.125)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command with few measurements."""
    monkeypatch.setattr(comparison, "ROUNDS", 2)
    monkeypatch.setattr(int8, "MOST_RANKED", 3)
    monkeypatch.setattr(int8, "relative_time", lambda *_: 1.0)

    def call(*arguments: object) -> tuple[int, str, str]:
        options = ("--provider", "cpu", "--models-dir", folder / "models")
        monkeypatch.setattr(sys, "argv", ["yoloscope", "export", *map(str, (*arguments, *options))])
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        return int(left.value.code or 0), written.out, written.err

    return call


@pytest.fixture(scope="module")
def quantized(folder: Path) -> Path:
    """Where the first test puts its file, beside the model it came from."""
    return folder / "models" / "small-int8.onnx"


def test_8_bits_beside_the_original(folder: Path, run: Run, quantized: Path) -> None:
    data = ("--data", folder / "data" / "images" / "train", "--evaluate-data", folder / "data")
    code, out, _ = run("small", "--precision", "int8", "-o", quantized, *data, "--evaluate-split", "val", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["precision"] == "int8"
    assert document["exported"]["bytes"] == quantized.stat().st_size < document["original"]["bytes"]
    assert {"AP", "AP50", "ms_per_image"} <= document["original"].keys() & document["exported"].keys()
    assert document["agreement"]["num_images"] == 2
    assert len(document["int8"]["layers"]) == 21
    assert document["sha256"] == Runtime(quantized, "cpu", 1).sha256


def test_the_service_serves_the_file_and_scores_labels_with_it(folder: Path, run: Run, quantized: Path) -> None:
    if not quantized.is_file():
        run("small", "--precision", "int8", "-o", quantized, "--data", folder / "data" / "images" / "train")
    buffer = BytesIO()
    Image.open(folder / "data" / "images" / "val" / "0.jpg").save(buffer, "PNG")
    settings = Settings(models_dir=folder / "models", model="small", provider="cpu", threads=1)
    with Client(create_app(settings)) as client:
        answers = {}
        for model in ("small", "small-int8"):
            files = [("image", ("a.png", buffer.getvalue(), "image/png"))]
            detected = client.post("/v1/detect", files=files, data={"model": model, "score_threshold": "0.01"})
            assert detected.status_code == 200, detected.text
            assert detected.json()["results"][0]["detections"]
            files.append(("labels", ("a.txt", b"0 .5 .5 .3 .3\n", "text/plain")))
            scored = client.post("/v1/score", files=files, data={"model": model})
            assert scored.status_code == 200, scored.text
            answers[model] = scored.json()["results"][0]["total"]
        assert answers["small-int8"] == pytest.approx(answers["small"], rel=0.2)
        assert answers["small-int8"] != answers["small"]
        spec = client.get("/v1/models/small-int8").json()["spec"]
        assert spec["precision"]["kind"] == "int8"


def test_tables_tell_the_layers_and_the_figures(folder: Path, run: Run, tmp_path: Path) -> None:
    target = tmp_path / "new" / "q.onnx"
    code, out, _ = run("small", "--precision", "int8", "-o", target, "--data", folder / "data", "--split", "train")
    assert code == 0
    for text in ("ranges: ", "backbone.stem.0", "remaining altogether", "MB", "as fast", "AP: not measured"):
        assert text in out
    assert target.is_file()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_precisions_need_no_data_but_evaluate_on_what_is_given(
    folder: Path, run: Run, tmp_path: Path, precision: str
) -> None:
    target = tmp_path / "model.onnx"
    code, out, _ = run("small", "--precision", precision, "-o", target, "--json")
    assert code == 0
    assert "AP" not in json.loads(out)["exported"]
    assert json.loads(out)["agreement"]["num_images"] == 4
    code, out, _ = run("small", "--precision", precision, "-o", target, "--data", folder / "data", "--split", "val")
    assert code == 0
    assert "AP50" in out
    assert "AP: not measured" not in out


@pytest.mark.parametrize(
    ("options", "outputs", "note"),
    [
        (("--outputs", "heads"), {"head_0": ["batch", 21, 2, 2], "head_1": ["batch", 21, 4, 4]}, "brought to"),
        (("--outputs", "boxes"), {"boxes": ["batch", 60, 1, 4], "confs": ["batch", 60, 2]}, "brought to"),
        (
            ("--nms", "tensorrt"),
            {
                "num_detections": ["batch", 1],
                "boxes": ["batch", 300, 4],
                "scores": ["batch", 300],
                "class_ids": ["batch", 300],
            },
            "plain IoU",
        ),
    ],
)
def test_files_for_other_runtimes(
    run: Run, tmp_path: Path, options: tuple[str, ...], outputs: dict[str, list[int | str]], note: str
) -> None:
    """The network of 64 px has grids of 2x2 and 4x4 with three anchors each: 60 boxes."""
    code, out, _ = run("small", *options, "-o", tmp_path / "cut.onnx", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["inputs"] == {"images": ["batch", 3, 64, 64]}
    assert document["values"] == outputs
    assert note in document["note"]
    assert document["sha256"] == sha256(tmp_path / "cut.onnx")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("small", "--nms", "tensorrt", "--outputs", "heads", "-o", "x.onnx"), 2, "expected --outputs detections, got"),
        (("small", "--outputs", "boxes", "-o", "x.onnx", "--evaluate-split", "val"), 2, "whose AP can be measured"),
        (("small", "--outputs", "heads", "-o", "x.onnx", "--data", "."), 2, "--data calibrates --precision"),
        (("small", "--precision", "int4", "-o", "x.onnx"), 2, "--precision: expected one of fp32, fp16, int8"),
        (("small",), 2, "--output: expected an .onnx file to write, got none"),
        (("small", "-o", "x.pt"), 2, "--output: expected an .onnx file to write, got x.pt"),
        (("small", "--precision", "int8", "-o", "x.onnx"), 2, "--data: int8 needs calibration images"),
        (("small", "-o", "x.onnx", "--evaluate-split", "val"), 2, "--evaluate-split: expected --evaluate-data"),
        (("none.ckpt", "-o", "x.onnx"), 1, "expected a checkpoint at none.ckpt"),
        (
            ("tiny", "-o", "x.onnx", "--split", "val"),
            2,
            "--split: expected --data, whose part 'val' would be, got none",
        ),
        (("small", "-m", "other", "-o", "x.onnx"), 2, "expected one model, got 'small' and 'other'"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    left, _, said = run(*arguments)
    assert left == code
    assert message in said
    assert len(said.splitlines()) == 1


def test_the_model_is_not_written_over(folder: Path, run: Run) -> None:
    path = folder / "models" / "small.onnx"
    before = path.read_bytes()
    code, _, said = run("small", "--precision", "fp16", "-o", path)
    assert code == 2
    assert "--output: expected another file than the model itself" in said
    assert path.read_bytes() == before


def test_a_folder_with_too_few_images(run: Run, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "one.png")
    code, _, said = run("small", "--precision", "int8", "-o", tmp_path / "x.onnx", "--data", tmp_path)
    assert code == 1
    assert "expected at least 4 calibration images (some 64 are better), got 1 of" in said


def test_a_damaged_image_leaves_the_former_file(folder: Path, run: Run, tmp_path: Path) -> None:
    images, target = tmp_path / "images", tmp_path / "x.onnx"
    images.mkdir()
    for number in range(4):
        whole = (folder / "data" / "images" / "train" / f"{number}.jpg").read_bytes()
        (images / f"{number}.jpg").write_bytes(whole[: 200 if number == 2 else None])
    target.write_text("former")
    code, _, said = run("small", "--precision", "int8", "-o", target, "--data", images)
    assert code == 1
    assert "2.jpg" in said
    assert target.read_text() == "former"
