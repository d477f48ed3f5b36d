"""yoloscope import-darknet: small darknet models of every kind that people bring, and what they are told."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from yoloscope.app.cli import build
from yoloscope.app.services.runtime import Runtime
from yoloscope.training.export import onnx as export
from yoloscope.training.export.parity import ParityReport

CFG = """[net]
width=64
height=64
channels={channels}

[maxpool]
size=8
stride=8
padding=0

[convolutional]
size=1
stride=1
pad=1
filters=21
activation=linear

[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes=2
num=3
"""


def run(*arguments: object) -> tuple[int, str]:
    words = ["import-darknet", *map(str, arguments)]
    result = CliRunner().invoke(build(words), words)
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def write_model(
    folder: Path, *, channels: int = 3, header: bytes = struct.pack("<3iQ", 0, 2, 5, 7)
) -> tuple[Path, Path]:
    """Write a cfg and weights whose objectness is 0 where the image is black and grows with its brightness."""
    cfg, weights = folder / "my.cfg", folder / "my.weights"
    cfg.write_text(CFG.format(channels=channels))
    biases = np.full((3, 7), -2, "<f4")
    kernel = np.zeros((3, 7, channels), "<f4")
    kernel[:, 4] = 12 / channels
    kernel[:, 5] = 6 / channels
    weights.write_bytes(header + biases.tobytes() + kernel.tobytes())
    return cfg, weights


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_the_cfg_reach_the_detections(channels: int, tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path, channels=channels)
    status, output = run(cfg, weights, "-o", tmp_path / "my.onnx")
    assert status == 0, output
    runtime = Runtime(tmp_path / "my.onnx", "cpu", 1)
    assert runtime.spec.input_channels == channels
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[0, 24:32, 40:48] = 255
    (found,) = runtime.detect(images, [0.25], [0.45])
    assert set(found.class_ids) == {0}
    expected = 1 / (1 + np.exp(-10)) * 1 / (1 + np.exp(-4))
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    x, y = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]).T / 2
    np.testing.assert_allclose(x, (5 + 1 / (1 + np.exp(2))) * 8, atol=1e-4)
    np.testing.assert_allclose(y, (3 + 1 / (1 + np.exp(2))) * 8, atol=1e-4)


def test_another_input_size_is_taken(tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path)
    status, output = run(cfg, weights, "-o", tmp_path / "my.onnx", "--size", "96x32")
    assert status == 0, output
    spec = Runtime(tmp_path / "my.onnx", "cpu", 1).spec
    assert (spec.input_width, spec.input_height) == (96, 32)
    assert (spec.heads[0].grid_width, spec.heads[0].grid_height) == (12, 4)


@pytest.mark.parametrize("size", ["96.5", "96x", "96x32x3", "big", "-1x32"])
def test_what_is_no_size_is_refused(size: str, tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path)
    status, output = run(cfg, weights, "-o", tmp_path / "my.onnx", f"--size={size}")
    assert status != 0
    assert f"--size: expected WIDTHxHEIGHT or one number in pixels, as 416x320 or 416, got '{size}'" in output


def test_names_may_come_by_a_data_file(tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path)
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text("classes=2\nnames = data/obj.names\n")
    status, output = run(cfg, weights, "--names", tmp_path / "obj.data", "-o", tmp_path / "my.onnx")
    assert status == 0, output
    assert Runtime(tmp_path / "my.onnx", "cpu", 1).spec.class_names == ("cat", "dog")


def test_a_header_of_third_parties_is_noted_and_kept_in_the_file(tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path, header=struct.pack("<3iQ", 0, 0, 0, 7))
    status, output = run(cfg, weights, "-o", tmp_path / "my.onnx")
    assert status == 0, output
    assert "note: the weights file has version 0.0 and a count of images of 64 bits" in output
    source = Runtime(tmp_path / "my.onnx", "cpu", 1).spec.source
    assert source is not None
    assert source.images_seen == 7
    assert any("count of images" in notice for notice in source.notices)


def test_swapped_arguments_are_named(tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path)
    status, output = run(weights, cfg, "-o", tmp_path / "my.onnx")
    assert status != 0
    assert "the cfg comes first and the weights second" in output
    assert not (tmp_path / "my.onnx").exists()
    official = weights.rename(tmp_path / "yolov4-tiny.weights")  # whose name is not what is wrong
    assert "the cfg comes first and the weights second" in run(official, cfg)[1]


def test_a_difference_is_printed_and_costs_the_exit_status_but_not_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, weights = write_model(tmp_path)
    report = ParityReport(6, 0.5, 2.0, 0, 0.0, 0.0, differences=("head_0 by 0.5 where the largest value is 2",))
    monkeypatch.setattr(export, "check_parity", lambda *_: report)
    status, output = run(cfg, weights, "-o", tmp_path / "my.onnx")
    assert status == 3
    assert "torch and onnxruntime differ beyond rounding: head_0 by 0.5" in output
    assert Runtime(tmp_path / "my.onnx", "cpu", 1).spec.name == "my"
