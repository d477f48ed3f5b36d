"""A run that wants more GPUs than there are is told so before anything else."""

from pathlib import Path

import pytest
import torch

from tests.training.fitting.runs import Configure
from yoloscope.models.errors import ConfigError
from yoloscope.training.train import train
from yoloscope.training.trainer import DeviceConfig


@pytest.mark.parametrize(
    ("machine", "gpus"),
    [
        (DeviceConfig(accelerator="gpu"), 0),
        (DeviceConfig(accelerator="gpu", devices=3), 2),
        (DeviceConfig(devices=3), 2),
    ],
)
def test_too_few_gpus(
    machine: DeviceConfig,
    gpus: int,
    shapes: Path,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"--devices {machine.devices}: expected that many GPUs, got {gpus}"):
        train(configure(), shapes, tmp_path / "run", machine=machine)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("machine", [DeviceConfig(devices=3), DeviceConfig(devices=3, accelerator="cpu")])
def test_processes_on_a_cpu_are_not_bounded(machine: DeviceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    machine.validate()
