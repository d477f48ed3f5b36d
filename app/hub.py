"""The model that settings name: an artifact of the models folder, or an official model, pulled once.

Nothing here imports torch, so that what finds its model in the folder starts at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from yoloscope.app.cli import UNREACHABLE
from yoloscope.app.services.model_store import BUILTIN, FIRST_CHOICE, artifact_path
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ConfigError, DownloadError, ModelLoadError, ModelNotFoundError
from yoloscope.models.files import sha256
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights, official_weights


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
    beside, close = Path(f"{model}.onnx"), get_close_matches(model, (BUILTIN, *OFFICIAL), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ModelNotFoundError(
        f"expected a model file at {artifact_path(model, settings.models_dir)}, {BUILTIN} "
        f"or one of the official models {', '.join(OFFICIAL)}, got {model!r}"
        f"{f'; the file here is named as {beside}' if beside.is_file() else hint}"
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
