"""The small data set of the trainer's tests, and runs without the slow export."""

from pathlib import Path

import pytest

import yoloscope.training.train
from tests.training.runs import Configure, quick_config, write_shapes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, not to be altered."""
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture
def own_shapes(tmp_path: Path) -> Path:
    """The data set, to be altered."""
    return write_shapes(tmp_path / "own")


@pytest.fixture
def configure() -> Configure:
    """How to say what a quick run shall do."""
    return quick_config


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the export out, which takes longer than all the training here."""
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
