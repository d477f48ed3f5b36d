"""Every network trains by its name."""

from pathlib import Path

import pytest

from tests.training.runs import write_shapes
from yoloscope.models import registry
from yoloscope.training.config import TrainingConfig
from yoloscope.training.train import train


@pytest.fixture(scope="module")
def two_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("two"), train=2, val=1)


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("name", registry.names())
def test_a_step_of_every_network(name: str, two_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow where the network has a width; its checkpoints, up to a gigabyte, are not written."""
    monkeypatch.setattr("yoloscope.training.callbacks.checkpointing.write_checkpoint", lambda *_: None)
    narrow = {"network_options": {"width": 0.25}} if "width" in registry.options(name) else {}
    config = TrainingConfig.parse(
        {"network": name, "input_size": 64, "epochs": 1, "batch_size": 2, "data": {"workers": 0, "val": None}}
        | {"optimizer": {"name": "sgd", "lr": 0.0001}, "ema": None}
        | narrow
    )
    assert train(config, two_images, tmp_path).step == 1
