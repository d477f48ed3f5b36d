"""Where a run takes place: GPUs that are not there are an error, freed memory is kept."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator

from tests.training.runs import Configure, quick_config
from yoloscope.models.errors import ConfigError
from yoloscope.training.train import train
from yoloscope.training.trainer import DeviceConfig, build_trainer

FAULTS = """
import resource, torch
{before}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    start = faults()
    for _ in range(10):
        torch.ones(2**23)
    last = faults() - start
print(last)
"""
KEEP = "from yoloscope.training.trainer import keep_freed_memory; assert keep_freed_memory()"


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
def test_processes_on_a_cpu_are_not_bounded(
    machine: DeviceConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    machine.validate()
    trainer = build_trainer(quick_config(), machine, tmp_path, 0, [])
    assert (trainer.num_devices, trainer.world_size) == (3, 3)
    assert isinstance(trainer.accelerator, CPUAccelerator)


def faults_of_ten_tensors(before: str) -> int:
    """Page faults of writing 32 MiB ten times over, freed in between, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FAULTS.format(before=before)], capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_is_not_faulted_in_again() -> None:
    """However large a page is: where memory is given back, each tensor's pages fault again."""
    assert 3 * faults_of_ten_tensors(KEEP) < faults_of_ten_tensors("")
