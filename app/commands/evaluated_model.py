"""What ``yoloscope evaluate`` measures: an artefact in onnxruntime, or a checkpoint of the trainer in torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from app.commands.runtime import open_runtime
from app.services.pulling import sha256_of
from app.settings import Settings
from models.errors import ProviderError
from training.checkpoint_network import load_checkpoint_network
from training.evaluation.prediction import Detector
from training.evaluation.torch_detector import TorchDetector
from training.run_folder import named_checkpoint


@dataclass(frozen=True)
class EvaluatedModel:
    """A detector, with what a report calls it and where it runs."""

    name: str
    version: str
    provider: str
    detector: Detector


def open_model(settings: Settings) -> EvaluatedModel:
    """Return the model that the settings name; an official one that is not there yet is pulled.

    ``named_checkpoint`` tells what names a checkpoint. Raises ModelNotFoundError, ModelLoadError, ProviderError,
    DownloadError or CheckpointError.
    """
    checkpoint = named_checkpoint(settings.model)
    if checkpoint is not None:
        return _open_checkpoint(checkpoint, settings)
    runtime = open_runtime(settings)
    return EvaluatedModel(runtime.path.stem, runtime.version, runtime.provider, runtime)


def _open_checkpoint(path: Path, settings: Settings) -> EvaluatedModel:
    """Return a checkpoint's network in torch; on CUDA in full float32, as artefacts run."""
    device = _device(settings.provider)
    torch.set_num_threads(min(settings.threads, torch.get_num_threads()))
    torch.backends.cudnn.allow_tf32 = False
    network = load_checkpoint_network(path).to(device)
    detector = TorchDetector(network, network.spec, device)
    return EvaluatedModel(f"{path.resolve().parent.name}/{path.name}", sha256_of(path)[:12], device, detector)


def _device(provider: str) -> str:
    if provider == "cuda" and not torch.cuda.is_available():
        raise ProviderError("expected a checkpoint to run on CUDA, got a torch that finds no GPU: choose auto or cpu")
    return "cpu" if provider == "cpu" or not torch.cuda.is_available() else "cuda"
