"""Going on with a run: whether what is asked for now is what was saved, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from yoloscope.models.errors import CheckpointError, ConfigError, NonFiniteLossError
from yoloscope.models.files import write_text
from yoloscope.training.checkpoint.files import CONFIG, LAST, read_checkpoint
from yoloscope.training.config import TrainingConfig
from yoloscope.training.logs import LOGGER
from yoloscope.training.module import TrainingModule

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
    for key, saved, given in _differences(_saved_config(state, checkpoint), config.model_dump(mode="json")):
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
    """Raise CheckpointError where a run has been taught by other networks."""
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


def write_config(config: TrainingConfig, folder: Path) -> None:
    """Write ``config.yaml``, whole or not at all, unless it says the same already."""
    path = folder / CONFIG
    try:
        if path.is_file() and TrainingConfig.load(path) == config:
            return
    except ConfigError:
        pass
    write_text(path, config.to_yaml())


@contextmanager
def add_recovery_hint(folder: Path, config: Path) -> Iterator[None]:
    """Add to the error of a training that diverged which checkpoint is left, and the file that says how to go on."""
    try:
        yield
    except NonFiniteLossError as error:
        raise NonFiniteLossError(f"{error}; {_kept(folder / LAST, config)}") from error


def _kept(last: Path, config: Path) -> str:
    if not last.is_file():
        return "no checkpoint was written before; lower optimizer.lr"
    step = read_checkpoint(last)["progress"]["step"]
    return f"{last} holds step {step}, with finite weights: to go on from there, lower optimizer.lr in {config}"


def _saved_config(state: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    try:
        return TrainingConfig.parse(yaml.safe_load(state["config"]), str(checkpoint)).model_dump(mode="json")
    except (yaml.YAMLError, ConfigError) as error:
        raise CheckpointError(f"{checkpoint} was written by another version: {error}") from error


def _differences(saved: object, given: object, key: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield dotted key, saved and given value where they differ, harmless keys left out."""
    if saved == given or key in _HARMLESS:
        return
    if isinstance(saved, dict) and isinstance(given, dict):
        for name in dict.fromkeys((*saved, *given)):
            inner = f"{key}.{name}" if key else name
            yield from _differences(saved.get(name, _ABSENT), given.get(name, _ABSENT), inner)
    else:
        yield key, saved, given


def _shown(value: object) -> str:
    return "nothing" if value is _ABSENT or value is None else repr(value)
