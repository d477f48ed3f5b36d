"""Keys of a configuration: YAML without repeated ones, former names, and what an unknown one may have meant."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, get_args

import yaml
from pydantic import BaseModel

from yoloscope.models.errors import ConfigError

_LOG = logging.getLogger(__name__)


def load_yaml(text: str) -> object:
    """Return the document as plain values; raise yaml.YAMLError where it is none or has a key twice.

    What a merge (``<<``) brings may still be overridden.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for mapping in _mappings(root, set()):
        seen: set[tuple[str, str]] = set()
        for key, _ in mapping.value:
            name = (key.tag, str(key.value))
            if name in seen:
                expected = f"expected every key once, got {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, expected, key.start_mark)
            seen.add(name)
    document: object = yaml.safe_load(text)
    return document


def yaml_reason(error: Exception) -> str:
    """Return in one line why a YAML file cannot be read."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} at line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    return " ".join(str(error).split())


def _mappings(node: yaml.Node | None, visited: set[int]) -> Iterator[yaml.MappingNode]:
    """Yield every mapping under a node once, whatever refers to it."""
    if node is None or id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    for child in children:
        yield from _mappings(child, visited)


FORMER_KEYS: Final[Mapping[str, str]] = {
    "average": "ema",
    "average.warm_up": "ema.warmup",
    "ema.warm_up": "ema.warmup",
    "bags": "freebies",
    "augment.colour": "augment.color",
    "augment.plain_share": "augment.close_mosaic_fraction",
    "data.bad_pictures": "data.on_bad_image",
    "optimizer.clip_norm": "optimizer.grad_clip_norm",
    "optimizer.rate": "optimizer.lr",
    "schedule.at": "schedule.milestones",
    "schedule.minimum_share": "schedule.min_lr_ratio",
    "schedule.scales": "schedule.gammas",
    "schedule.warm_up_epochs": "schedule.warmup_epochs",
    "schedule.warm_up_power": "schedule.warmup_power",
}
"""Keys that configurations, checkpoints and search spaces were written with, and what they are called now."""


def current_key(key: str) -> str:
    """Return what a dotted key is called now: ``bags.drop_block`` is ``freebies.drop_block``."""
    if key in FORMER_KEYS:
        return FORMER_KEYS[key]
    section, dot, rest = key.partition(".")
    return f"{FORMER_KEYS.get(section, section)}{dot}{rest}"


def with_current_keys(values: object, source: str) -> object:
    """Return a configuration document with former names of keys replaced; each is logged once.

    Raises ConfigError where a key stands there under both names.
    """
    if not isinstance(values, Mapping):
        return values
    renamed: dict[object, object] = {}
    for key, value in values.items():
        inner = {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else None
        name = _take_current(str(key), renamed, source) if isinstance(key, str) else key
        if inner is None or not isinstance(name, str):
            renamed[name] = value
            continue
        section: dict[object, object] = {}
        for dotted, one in inner.items():
            section[_take_current(dotted, section, source).partition(".")[2]] = one
        renamed[name] = section
    return renamed


def _take_current(key: str, taken: Mapping[object, object], source: str) -> str:
    name = current_key(key)
    if name in taken or name.partition(".")[2] in taken:
        raise ConfigError(f"{source}: expected {name} under one name, got it as {key} too")
    if key in FORMER_KEYS:
        _log_renamed(key)
    return name


@cache
def _log_renamed(key: str) -> None:
    _LOG.warning("the configuration key %s is called %s now", key, FORMER_KEYS[key])


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the keys of a model whose values have keys of their own, and the models of these."""
    found = {key: _section(field.annotation) for key, field in model.model_fields.items()}
    return {key: inner for key, inner in found.items() if inner is not None}


def explain_unknown_key(model: type[BaseModel], path: Sequence[str]) -> str:
    """Return the keys that there are where ``path`` ends in an unknown one, and which one was probably meant."""
    *parents, key = path
    section = model
    for parent in parents:
        section = sections(section)[parent]
    names = sorted(section.model_fields)
    close = [".".join((*parents, name)) for name in difflib.get_close_matches(key, names, 1)]
    elsewhere = [name for name in _dotted_keys(model) if name.rpartition(".")[2] == key]
    meant = f"; did you mean {' or '.join(close or elsewhere)}?" if close or elsewhere else ""
    return f"expected one of the keys {', '.join(names)}{meant}"


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for key in model.model_fields:
        yield f"{prefix}{key}"
        inner = sections(model).get(key)
        if inner is not None:
            yield from _dotted_keys(inner, f"{prefix}{key}.")


def _section(annotation: object) -> type[BaseModel] | None:
    """Return the model among the types of an annotation, as in ``ColorConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for kind in get_args(annotation) if (found := _section(kind)) is not None), None)
