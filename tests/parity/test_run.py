"""``make parity`` on a few models, and that it notices what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.parity import check
from tests.parity.check import check_pseudo, check_real
from tests.parity.detections import compare_stored_heads
from tests.parity.networks import load_real_network, real_models
from tests.parity.run import find_jobs, main
from yoloscope.models.errors import UnsupportedLayerError


@pytest.mark.parametrize("name", ["yolo-fastest", "yolov4-tiny"])
def test_a_real_model_from_its_weights_to_its_artifact(oracles_dir: Path, name: str) -> None:
    weights = next((oracles_dir / "weights").glob(f"*/{name}.weights"))
    result = check_real(oracles_dir, weights)
    assert [item for item in result.checks if not item.passed] == []
    assert len(result.checks) == 7


def test_detections_from_stored_heads_of_all_real_models(oracles_dir: Path) -> None:
    for weights in real_models(oracles_dir):
        spec = load_real_network(weights).spec
        sets = list(compare_stored_heads(oracles_dir / "darknet_out" / weights.stem, spec))
        assert len(sets) == 11
        assert [item for item in sets if not item.passed] == []


def test_a_network_with_formula_made_weights_in_eager_and_onnx(oracles_dir: Path) -> None:
    result = check_pseudo(oracles_dir / "darknet_cfgs" / "micro-share")
    assert [item.what for item in result.checks] == ["heads eager", "heads ONNX", "weights file"]
    assert result.passed


def test_a_wrong_value_fails_the_run(oracles_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(oracles_dir / "darknet_cfgs" / "micro-share", tmp_path / "darknet_cfgs" / "micro-share")
    shutil.copytree(oracles_dir / "darknet_cfgs" / "inputs", tmp_path / "darknet_cfgs" / "inputs")
    assert main([str(tmp_path), "--eager"]) == 0
    path = tmp_path / "darknet_cfgs" / "micro-share" / "tensors.npz"
    with np.load(path) as tensors:
        changed = {name: tensors[name].copy() for name in tensors.files}
    head = next(name for name in changed if name.endswith("_pre"))
    changed[head].flat[0] += 1
    np.savez(path, **changed)
    assert main([str(tmp_path), "--eager"]) == 1
    assert "1 beyond tolerance" in capsys.readouterr().out


def test_a_refusal_by_name_fails_only_a_strict_run(
    oracles_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path) -> None:
        raise UnsupportedLayerError(f"{folder.name}: [lstm] is recurrent")

    monkeypatch.setattr(check, "load_pseudo_network", refuse)
    arguments = [str(oracles_dir), "--only", "micro-share"]
    assert main(arguments) == 0
    assert main([*arguments, "--strict"]) == 1
    assert "[lstm] is recurrent" in capsys.readouterr().out


def test_an_empty_folder_and_an_unknown_name_are_told(tmp_path: Path, oracles_dir: Path) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(oracles_dir), "--only", "nobody"]) == 2
    assert len(find_jobs(oracles_dir)) > 30
