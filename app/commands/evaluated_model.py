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
from training.run_folder import find_checkpoint


@dataclass(frozen=True)
class EvaluatedModel:
    """A detector, with what a report calls it and where it runs."""

    name: str
    version: str
    provider: str
    detector: Detector


def open_model(settings: Settings) -> EvaluatedModel:
    """Return the model that the settings name; an official one that is not there yet is pulled.

    A checkpoint is a path ending in ``.ckpt``, or the folder of a run given with a separator. Raises
    ModelNotFoundError, ModelLoadError, ProviderError, DownloadError or CheckpointError.
    """
    if settings.model is not None and _is_checkpoint(settings.model):
        return _open_checkpoint(find_checkpoint(Path(settings.model)), settings)
    runtime = open_runtime(settings)
    return EvaluatedModel(runtime.path.stem, runtime.version, runtime.provider, runtime)


def _is_checkpoint(model: str) -> bool:
    return model.endswith(".ckpt") or (("/" in model or "\\" in model) and Path(model).is_dir())


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
