"""The configurations that come with the package."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigError
from training.config import TrainingConfig

_FOLDER = Path(__file__).parent / "configs"


def config_names() -> tuple[str, ...]:
    """Return the names of the configurations that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def find_config(name_or_path: str) -> TrainingConfig:
    """Return a configuration by name, or from a YAML file; raise ConfigError where there is neither."""
    if name_or_path in config_names():
        return TrainingConfig.load(_FOLDER / f"{name_or_path}.yaml")
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(config_names())
        raise ConfigError(f"--config: expected a YAML file or one of {known}, got {name_or_path!r}")
    return TrainingConfig.load(path)
