"""Official models: their weights found or fetched, converted once and kept in the models folder.

Darknet weights to the artifact. Takes much memory: the commands call it, the service never does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from yoloscope.app.cli import UNREACHABLE
from yoloscope.app.services.model_store import BUILTIN, FIRST_CHOICE, artifact_path
from yoloscope.app.settings import Settings
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.names import read_darknet_names
from yoloscope.models.darknet.network import require_complete
from yoloscope.models.darknet.weights import darknet_source, load_weights
from yoloscope.models.errors import ConfigError, DownloadError, ModelLoadError, ModelNotFoundError
from yoloscope.models.files import sha256
from yoloscope.models.registry import build
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights, correct_anchors, official_weights
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import ParityReport


def convert_official(official: OfficialWeights, weights: Path, target: Path) -> ParityReport:
    """Load official weights into the native network and write the artifact; return how well it agrees."""
    network = build(official.network, num_classes=len(official.class_names), class_names=official.class_names)
    header = load_weights(network, weights)
    update = {"name": official.name, "loss": official.loss, "source": darknet_source(weights, header)}
    return export_onnx(network, official.correct_anchors(network.spec).model_copy(update=update), target)


def convert_darknet(
    cfg: Path, weights: Path, names: Path | None, target: Path, input_size: tuple[int, int] | None = None
) -> tuple[ParityReport, tuple[str, ...]]:
    """Build the network of a cfg, load its weights, write the artifact; return the parity and the notices.

    ``input_size`` (width, height) overrides that of the cfg.
    """
    network = build_darknet(
        cfg, class_names=None if names is None else read_darknet_names(names), input_size=input_size
    )
    require_complete(network)
    header = load_weights(network, weights)
    source = darknet_source(weights, header)
    spec, corrections = correct_anchors(network.spec, source.sha256 or "")
    notices = (*network.notices, *header.notices, *corrections)
    source = source.model_copy(update={"notices": notices})
    return export_onnx(network, spec.model_copy(update={"source": source}), target), notices


def ensure_artifact(model: str, settings: Settings) -> Path:
    """Return the artifact of a name or path; an official model that is not there yet is pulled first.

    Pulling runs in a process of its own, so that the memory that the conversion takes is given back; ``-P`` keeps the
    current folder, whose packages may have our names, off its import path. Raises ModelNotFoundError for a model that
    is neither there nor official, DownloadError if the download failed and ModelLoadError if anything else did.
    """
    path = artifact_path(model, settings.models_dir)
    if path.is_file():
        return path
    official_name(model, settings)
    environment = {**os.environ, "YOLOSCOPE_MODELS_DIR": str(settings.models_dir)}
    if settings.weights is not None:
        environment["YOLOSCOPE_WEIGHTS"] = str(settings.weights)
    command = [sys.executable, "-P", "-m", "yoloscope.app.cli", "pull", model]
    status = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 (our own)
    if status == UNREACHABLE:
        raise DownloadError(f"the model {model!r} could not be downloaded, see above")
    if status or not path.is_file():
        raise ModelLoadError(f"the model {model!r} could not be made ready, see above")
    return path


def ensure_model(settings: Settings, warn: Callable[[str], None]) -> Path:
    """Return the artifact of the model that the settings name, as ``ensure_artifact`` does.

    Where they name none it is the first choice. The built-in model takes its place, with a warning, if the download
    fails and no folder of weights is named; any other failure is an error.
    """
    if settings.model is not None:
        return ensure_artifact(settings.model, settings)
    try:
        return ensure_artifact(FIRST_CHOICE, settings)
    except DownloadError:
        if settings.weights is not None:
            raise
        warn(f"{FIRST_CHOICE} is out of reach; the built-in model takes its place and finds blood cells only")
        return artifact_path(BUILTIN, settings.models_dir)


def official_name(model: str, settings: Settings) -> OfficialWeights:
    """Return the entry of an official model; raises ModelNotFoundError with what there is."""
    if model in OFFICIAL:
        return official_weights(model)
    raise ModelNotFoundError(
        f"expected a model file at {artifact_path(model, settings.models_dir)} "
        f"or one of the official models {', '.join(OFFICIAL)}, got {model!r}"
    )


def require_free_name(target: Path, models_dir: Path, weights: Path | None = None) -> None:
    """Raise ConfigError where a file of the models folder would have the name of a model of ours and be another.

    ``builtin`` is never read from the folder; an official name is taken by the published weights alone.
    """
    if target.resolve().parent != models_dir.resolve():
        return
    if target.stem == BUILTIN:
        raise ConfigError(f"--output: expected another name, got {BUILTIN}, that of the model that comes along")
    official = OFFICIAL.get(target.stem)
    if official is None or (weights and official.recognizes(weights.stat().st_size, sha256(weights))):
        return
    raise ConfigError(
        f"--output: expected another name, got {target.stem}, that of an official model which these weights are not; "
        f"for example {models_dir / f'my-{target.name}'}"
    )
