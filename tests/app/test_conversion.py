"""Darknet models converted to artifacts."""

from pathlib import Path

import pytest

from yoloscope.app.conversion import convert_darknet
from yoloscope.models.errors import ConfigError


def test_a_class_that_stands_twice_is_refused_before_anything_is_converted(tmp_path: Path) -> None:
    names = tmp_path / "my.names"
    names.write_text("cat\ndog\ncat\n")
    with pytest.raises(ConfigError, match=r"expected each class name once in .*my\.names, got cat more than once"):
        convert_darknet(tmp_path / "no.cfg", tmp_path / "no.weights", names, tmp_path / "no.onnx")
