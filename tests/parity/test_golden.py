"""The darknet presets against darknet's own vectors, and the comparison's ability to fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.parity import golden

FILES = (
    "box_pairs",
    "detection_v1_voc",
    "real_region_yololite_voc",
    "real_yolov4tiny_coco",
    "region_v2_voc",
    "yolo_v3_mse_c5",
    "yolo_v3_mse_c80",
    "yolo_v4_ciou_c5",
    "yolo_v4_ciou_c80",
    "yolo_v4tiny_c5",
)


@pytest.mark.parametrize("name", FILES)
def test_every_case_is_within_tolerance(oracles_dir: Path, name: str) -> None:
    result = golden.check_file(oracles_dir / "loss" / f"{name}.npz")
    assert result.cases > 0
    assert not result.failures
    assert {"gradient", "output"} <= set(result.worst) or name == "box_pairs"


@pytest.mark.parametrize("key", ["delta", "output", "labels", "total_bbox", "cost"])
def test_a_changed_value_is_found(oracles_dir: Path, tmp_path: Path, key: str) -> None:
    with np.load(oracles_dir / "loss" / "yolo_v4tiny_c5.npz") as source:
        arrays = {name: source[name].copy() for name in source}
    arrays[f"c00_{key}"].reshape(-1)[:1] += 1
    np.savez(tmp_path / "broken.npz", **arrays)
    assert golden.main([str(tmp_path)]) == 1
    assert golden.check_file(tmp_path / "broken.npz").failures


def test_an_unknown_layer_parameter_is_refused(oracles_dir: Path, tmp_path: Path) -> None:
    with np.load(oracles_dir / "loss" / "yolo_v4tiny_c5.npz") as source:
        arrays = {name: source[name] for name in source}
    text = bytes(arrays["index_json"]).replace(b'"focal"', b'"novel"')
    arrays["index_json"] = np.frombuffer(text, dtype=np.uint8)
    np.savez(tmp_path / "novel.npz", **arrays)
    (failure, _) = golden.check_file(tmp_path / "novel.npz").failures
    assert "novel" in failure


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    assert golden.main([str(tmp_path)]) == 1
    assert golden.main([]) == 2
