"""The darknet presets against darknet's own vectors, and the comparison's ability to fail."""

from __future__ import annotations

import json
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


DARKNET_DEFAULTS: dict[str, dict[str, object]] = {
    "yolo": {
        "truth_thresh": 1.0,
        "iou_thresh": 1.0,
        "iou_norm": 0.75,
        "obj_norm": 1.0,
        "cls_norm": 1.0,
        "scale_x_y": 1.0,
        "max_delta": 0.0,
        "label_smooth": 0.0,
        "iou_loss": "mse",
        "focal": 0,
        "new_coords": 0,
        "obj_smooth": 0,
        "show_details": 1,
        "iou_thresh_kind": "iou",
    },
    "region": {
        "noobject_scale": 1.0,
        "class_scale": 1.0,
        "coord_scale": 1.0,
        "bias_match": 0,
        "rescore": 0,
        "classfix": 0,
        "focal": 0,
    },
    "detection": {"object_scale": 1.0, "class_scale": 1.0, "rescore": 0, "softmax": 0, "forced": 0, "random": 0},
}


@pytest.mark.parametrize("name", ["yolo_v3_mse_c5", "yolo_v4_ciou_c5", "region_v2_voc", "detection_v1_voc"])
def test_absent_layer_parameters_stand_at_darknets_defaults(oracles_dir: Path, tmp_path: Path, name: str) -> None:
    with np.load(oracles_dir / "loss" / f"{name}.npz") as source:
        arrays = {key: source[key] for key in source}
    index = json.loads(bytes(arrays["index_json"]))
    defaults = DARKNET_DEFAULTS[index["meta"]["layer"]]
    index["cases"] = [
        {k: v for k, v in case.items() if k not in defaults or v != defaults[k]} for case in index["cases"]
    ]
    arrays["index_json"] = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    np.savez(tmp_path / "sparse.npz", **arrays)
    assert golden.check_file(tmp_path / "sparse.npz").failures == []
