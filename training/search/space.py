"""Search space: keys of the training configuration, each with a range or with choices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from yoloscope.models.errors import ConfigError
from yoloscope.models.strict_model import StrictModel
from yoloscope.training.config import TrainingConfig
from yoloscope.training.config_keys import current_key, load_yaml, yaml_reason

SEPARATOR = "."


class Range(StrictModel):
    """Numbers from ``low`` to ``high``, both included, uniform or (``log``) in their logarithm.

    They are whole numbers where both bounds are, unless the key itself is a real number.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected low below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low above 0 for a logarithmic range, got {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high


class Choices(StrictModel):
    """Values of any kind, among which one is chosen."""

    choices: tuple[Any, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"expected distinct choices, got {', '.join(self.labels)}")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The choices as JSON, by which a study knows them."""
        return tuple(label(choice) for choice in self.choices)

    def __contains__(self, value: object) -> bool:
        return label(value) in self.labels


def label(value: object) -> str:
    """Return a choice as JSON."""
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class SearchSpace:
    """Dotted keys of a training configuration, and what each may be."""

    dimensions: Mapping[str, Range | Choices]
    source: str = "the search space"

    @classmethod
    def parse(cls, values: object, source: str = "the search space") -> SearchSpace:
        """Return the checked space; raise ConfigError naming the first key that is wrong or that training lacks."""
        if not isinstance(values, Mapping) or not values:
            raise ConfigError(f"{source}: expected keys of the training configuration, got {values!r}")
        dimensions = {current_key(str(key)): _dimension(current_key(str(key)), v, source) for key, v in values.items()}
        for key in dimensions:
            inside = next((other for other in dimensions if other.startswith(key + SEPARATOR)), None)
            if inside is not None:
                raise ConfigError(f"{source}: {inside}: expected no key inside {key}, which is searched as a whole")
        return cls(MappingProxyType(dimensions), source)

    @classmethod
    def load(cls, path: Path) -> SearchSpace:
        """Read a YAML file; raise ConfigError."""
        try:
            return cls.parse(load_yaml(path.read_text("utf-8-sig")), str(path))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"expected a YAML file at {path}, got: {yaml_reason(error)}") from error

    def ends(self, key: str) -> tuple[object, ...]:
        """Return the values of a key between which all others lie, or all of them."""
        dimension = self.dimensions[key]
        return dimension.choices if isinstance(dimension, Choices) else (dimension.low, dimension.high)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, from which ``parse`` makes an equal space."""
        return {key: dimension.model_dump(mode="json") for key, dimension in self.dimensions.items()}


def with_values(config: TrainingConfig, values: Mapping[str, object], source: str = "the trial") -> TrainingConfig:
    """Return a configuration with dotted keys replaced; raise ConfigError naming the one that cannot be so."""
    changed = config.model_dump()
    for key, value in values.items():
        *path, last = key.split(SEPARATOR)
        place = changed
        for part in path:
            inner = place.get(part)
            place[part] = dict(inner) if isinstance(inner, dict) else {}
            place = place[part]
        place[last] = value
    return TrainingConfig.parse(changed, source)


def value_at(config: TrainingConfig, key: str) -> object:
    """Return what a configuration has at a dotted key; raise KeyError where it has nothing."""
    place: object = config.model_dump(mode="json")
    for part in key.split(SEPARATOR):
        if not isinstance(place, dict):
            raise KeyError(key)
        place = place[part]
    return place


def shown(values: Mapping[str, object]) -> str:
    """Return values as a user reads them."""
    return ", ".join(f"{key} {short(value)}" for key, value in values.items())


def short(value: object) -> str:
    """Return one value in few letters."""
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value)


def _dimension(key: str, value: object, source: str) -> Range | Choices:
    kind = _kind_of(key, source)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{source}: {key}: expected low and high, or choices, got {value!r}")
    try:
        if "choices" in value:
            return Choices.model_validate(value)
        found = Range.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f" {part}:" for part in first["loc"][:1])
        raise ConfigError(f"{source}: {key}:{where} {first['msg'].removeprefix('Value error, ')}") from error
    return Range(low=float(found.low), high=float(found.high), log=found.log) if kind is float else found


def _kind_of(key: str, source: str) -> type | None:
    """Return float for a key that holds real numbers, else None; raise ConfigError for a key that training lacks."""
    model: type[BaseModel] | None = TrainingConfig
    parts = key.split(SEPARATOR)
    for depth, part in enumerate(parts):
        fields = {} if model is None else model.model_fields
        if part not in fields:
            near = get_close_matches(part, fields, 1)
            hint = f"; did you mean {SEPARATOR.join([*parts[:depth], *near])}?" if near else ""
            raise ConfigError(f"{source}: {key}: expected a key of the training configuration{hint}")
        annotation = fields[part].annotation
        kinds = (annotation, *get_args(annotation))
        if any(kind is dict or get_origin(kind) is dict for kind in kinds) and depth + 1 < len(parts):
            return None
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return float if float in kinds and int not in kinds else None
