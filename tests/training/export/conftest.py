"""Images and artifacts that the tests of other precisions share."""

from pathlib import Path

import pytest

from tests.training.export.small import MISH, write_lively
from tests.training.runs import write_shapes
from yoloscope.training.export.quantization import int8


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "data")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Path:
    """yolov4-tiny at an eighth of its width, 64 px."""
    return write_lively(tmp_path_factory.mktemp("small") / "small.onnx", shapes, width=0.125)


@pytest.fixture(scope="session")
def mish(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Path:
    """yolov4 at an eighth of its width and a tenth of its depth: mish, shortcuts, pyramid pooling; 64 px."""
    return write_lively(tmp_path_factory.mktemp("mish") / "mish.onnx", shapes, "yolov4", **MISH)


@pytest.fixture
def timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes as long as every other."""
    monkeypatch.setattr(int8, "relative_time", lambda *_: 1.0)
