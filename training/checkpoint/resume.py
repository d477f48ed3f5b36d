"""Resuming a run: the files that describe it, the command that goes on with it, and what may differ from before."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from yoloscope.models.errors import CheckpointError, ConfigError, NonFiniteLossError
from yoloscope.models.files import write_text
from yoloscope.training.checkpoint.files import CONFIG, LAST, RUN, read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.logs import LOGGER
from yoloscope.training.module import TrainingModule
from yoloscope.training.trainer import DEFAULT_DEVICE, DeviceConfig

_HARMLESS = ("data.workers", "data.cache_mb", "data.on_bad_image", "validation", "distill.teachers")
_DELIBERATE = ("epochs", "optimizer.lr", "optimizer.grad_clip_norm", "schedule")
_ABSENT = object()


def require_same_run(state: Mapping[str, Any], config: TrainingConfig, checkpoint: Path) -> None:
    """Compare a configuration with that of a state to resume from; raise CheckpointError naming the first difference.

    How data is read and validated may differ, and where teachers are, which their weights tell apart. Epochs, learning
    rate, its schedule and the bound of the gradient may be altered on purpose, as after a loss that was not finite,
    which is logged: the state is the same, the steps to come are others.
    """
    if not isinstance(state.get("config"), str) or "optimizer" not in state:
        raise CheckpointError(f"expected {checkpoint} to hold configuration and optimizer, got none: not a {LAST}")
    deliberate = []
    before = _saved_config(state, checkpoint)
    for key, saved, given in _differences(before, config.model_dump(mode="json"), left_out=_HARMLESS):
        if not any(key == one or key.startswith(f"{one}.") for one in _DELIBERATE):
            raise CheckpointError(
                f"{checkpoint} was trained with {key}: {_shown(saved)}, got {_shown(given)} ({CONFIG}): "
                f"set it back or start another run; {', '.join(_DELIBERATE)} may change"
            )
        deliberate.append(f"resumed with {key}: {_shown(given)}, so far {_shown(saved)}")
    for change in deliberate:
        LOGGER.info(change)


def require_same_images(state: Mapping[str, Any], num_images: int, checkpoint: Path) -> None:
    """Raise CheckpointError where a run was trained on another number of images, from which other batches follow."""
    saved = state.get("pictures")
    if saved is not None and saved != num_images:
        raise CheckpointError(
            f"{checkpoint} belongs to other data: trained on {saved} images, got {num_images}; start another run"
        )


def require_same_teachers(state: Mapping[str, Any], digest: str, checkpoint: Path) -> None:
    """Raise CheckpointError where a run had other teachers."""
    if state.get("teachers") != digest:
        raise CheckpointError(
            f"{checkpoint} was taught by networks of other weights than distill.teachers has now: "
            "bring them back or start another run"
        )


def finished_reason(module: TrainingModule) -> str | None:
    """Return why a run is finished, or nothing where it is not."""
    progress, patience = module.progress, module.config.validation.patience
    if progress.step >= module.total_steps:
        return f"all {progress.step} steps are done"
    if patience is not None and progress.validations_since_best >= patience:
        return f"ended after step {progress.step} by validation.patience {patience}"
    return None


def write_run(config: TrainingConfig, data: Path, folder: Path) -> None:
    """Write ``config.yaml`` and ``run.json`` (where the data lies), each whole or not at all, where they are new."""
    if not _holds(folder / CONFIG, config):
        write_text(folder / CONFIG, config.to_yaml())
    run = json.dumps({"data": str(data.absolute())}, indent=2)
    path = folder / RUN
    if not path.is_file() or path.read_text("utf-8") != run:
        write_text(path, run)


def read_run(folder: Path) -> tuple[TrainingConfig, Path | None]:
    """Return the configuration of a run and the path of its data (None: a run of before that was written).

    Raises ConfigError where the folder holds no run.
    """
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"--resume: expected a run in {folder}, got no {CONFIG} there")
    config, path = TrainingConfig.load(folder / CONFIG), folder / RUN
    if not path.is_file():
        return config, None
    try:
        return config, Path(json.loads(path.read_text("utf-8"))["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'expected {path} to name the data as {{"data": PATH}}, got: {error!r}') from error


def require_same_options(
    saved: TrainingConfig, given: TrainingConfig, source: Path, changed: Sequence[str] = ()
) -> None:
    """Compare the options of a resumed run with its configuration; raise ConfigError naming all that differ.

    ``changed`` are the keys that may differ, as they are changed on purpose.
    """
    before, now = saved.model_dump(mode="json"), given.model_dump(mode="json")
    found = [
        f"{key}: {_shown(old)} there, {_shown(new)} here"
        for key, old, new in _differences(before, now, left_out=changed)
    ]
    if found:
        raise ConfigError(
            f"--resume: expected the options of the run in {source}, got others: {'; '.join(found)}; "
            f"leave them out, or edit {source}, where {', '.join(_DELIBERATE)} may change"
        )


def resume_command(folder: Path, device: DeviceConfig = DEFAULT_DEVICE) -> str:
    """Return the command that goes on with the run of a folder, on the same devices, quoted for the shell."""
    name = str(folder)
    words = ["yoloscope", "train", "--resume", f"./{name}" if name.startswith("-") else name]
    for option in ("devices", "nodes", "accelerator"):
        value = getattr(device, option)
        if value != getattr(DEFAULT_DEVICE, option):
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def _holds(path: Path, config: TrainingConfig) -> bool:
    try:
        return path.is_file() and TrainingConfig.load(path) == config
    except ConfigError:
        return False


@contextmanager
def add_recovery_hint(folder: Path, run: Path, device: DeviceConfig = DEFAULT_DEVICE) -> Iterator[None]:
    """On divergence, name the last good checkpoint in the error, and how to go on from it.

    ``folder`` is that of the network in training, ``run`` that of the whole run, of which it may be a teacher.
    """
    try:
        yield
    except NonFiniteLossError as error:
        raise NonFiniteLossError(f"{error}; {_recovery(folder / LAST, run, device)}") from error


def _recovery(last: Path, run: Path, device: DeviceConfig) -> str:
    if not last.is_file():
        return "no checkpoint was written before; lower optimizer.lr"
    step = read_checkpoint(last)["progress"]["step"]
    return (
        f"{last} holds step {step}, with finite weights: to go on from there, lower optimizer.lr in {run / CONFIG}, "
        f"then: {resume_command(run, device)}"
    )


def _saved_config(state: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    try:
        return TrainingConfig.parse(yaml.safe_load(state["config"]), str(checkpoint)).model_dump(mode="json")
    except (yaml.YAMLError, ConfigError) as error:
        raise CheckpointError(f"{checkpoint} was written by another version: {error}") from error


def _differences(
    saved: object, given: object, key: str = "", *, left_out: Sequence[str] = ()
) -> Iterator[tuple[str, object, object]]:
    """Yield dotted key, saved and given value where they differ, but for the keys ``left_out``."""
    if saved == given or key in left_out:
        return
    if isinstance(saved, dict) and isinstance(given, dict):
        for name in dict.fromkeys((*saved, *given)):
            inner = f"{key}.{name}" if key else name
            yield from _differences(saved.get(name, _ABSENT), given.get(name, _ABSENT), inner, left_out=left_out)
    else:
        yield key, saved, given


def _shown(value: object) -> str:
    return "nothing" if value is _ABSENT or value is None else repr(value)
