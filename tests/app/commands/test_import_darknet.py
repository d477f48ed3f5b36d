"""``yoloscope import-darknet``: what is written over, and under which name."""

from pathlib import Path

import pytest

from tests.app.commands.conftest import Run
from tests.app.commands.test_import_darknet_kinds import write_model
from yoloscope.models.errors import ConfigError


@pytest.mark.parametrize("name", ["builtin", "yolov4-tiny"])
def test_names_of_our_models_are_refused(run: Run, tmp_path: Path, name: str) -> None:
    cfg, weights = write_model(tmp_path)
    cfg = cfg.rename(tmp_path / f"{name}.cfg")
    with pytest.raises(ConfigError, match=f"--output: expected another name, got {name}"):
        run("import-darknet", cfg, weights, "--models-dir", tmp_path / "models")
    with pytest.raises(ConfigError, match=f"--output: expected another name, got {name}"):
        run("import-darknet", cfg, weights, "-o", tmp_path / "m" / f"{name}.onnx", "--models-dir", tmp_path / "m")
    assert not (tmp_path / "models").exists()


def test_a_second_import_names_both_versions_and_the_command_is_quoted(run: Run, tmp_path: Path) -> None:
    cfg, weights = write_model(tmp_path)
    cfg = cfg.rename(tmp_path / "my model.cfg")
    first = run("import-darknet", cfg, weights, "--models-dir", tmp_path / "models")
    assert "yoloscope serve --model 'my model'" in first.stderr
    assert "is replaced by" not in first.stderr
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    second = run("import-darknet", cfg, weights, "--models-dir", tmp_path / "models")
    assert f"{tmp_path / 'models' / 'my model.onnx'}: version " in second.stderr
    assert "is replaced by" in second.stderr
