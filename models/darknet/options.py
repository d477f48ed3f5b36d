"""Typed access to the keys of one section; every complaint names line, layer and key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NoReturn, TypeVar

from yoloscope.models.darknet.cfg import Entry, Section
from yoloscope.models.errors import CfgError, UnsupportedLayerError
from yoloscope.models.layers.activations import ACTIVATIONS

T = TypeVar("T")
_LARGEST = 1_000_000


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


class Options:
    """The keys of a section that a layer understands, read as numbers, lists or names.

    ``understood`` are the keys that may be asked for; asking for another is a KeyError, so that the documented table
    cannot fall behind the code.
    """

    def __init__(self, section: Section, understood: Mapping[str, str]) -> None:
        self._section, self._understood = section, understood

    @property
    def line(self) -> int:
        """Line of the section's name."""
        return self._section.line

    @property
    def where(self) -> str:
        """The section, for messages."""
        return f"cfg line {self._section.line}: [{self._section.name}]"

    def has(self, key: str) -> bool:
        """Return whether the key is given."""
        return self._entry(key) is not None

    def text(self, key: str, default: str) -> str:
        """Return the value as it stands."""
        entry = self._entry(key)
        return default if entry is None else entry.value

    def integer(self, key: str, default: int, *, minimum: int | None = None) -> int:
        """Return a whole number."""
        value = self._read(key, default, _whole, "a whole number")
        if minimum is not None and value < minimum:
            self.fail(key, f"expected at least {minimum}, got {value}")
        if abs(value) > _LARGEST:
            self.fail(key, f"expected at most {_LARGEST}, got {value}")
        return value

    def number(self, key: str, default: float, *, above: float | None = None) -> float:
        """Return a finite number."""
        value = self._read(key, default, _finite, "a number")
        if above is not None and value <= above:
            self.fail(key, f"expected more than {above:g}, got {value:g}")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return whether the value is not 0."""
        return self.integer(key, int(default)) != 0

    def integers(self, key: str) -> tuple[int, ...]:
        """Return a comma-separated list of whole numbers, empty where the key is absent."""
        return self._read(key, (), lambda text: _list(text, _whole), "whole numbers separated by commas")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a comma-separated list of numbers, empty where the key is absent."""
        return self._read(key, (), lambda text: _list(text, _finite), "numbers separated by commas")

    def activation(self, default: str) -> str:
        """Return the name of the activation; one that darknet does not have is refused by name."""
        name = self.text("activation", default)
        if name not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            self.refuse("activation", f"{name!r} is none of darknet's activations ({known})")
        return name

    def fail(self, key: str, complaint: str) -> NoReturn:
        """Raise CfgError about the value of a key."""
        raise CfgError(f"{self._place(key)}: {complaint}")

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Raise UnsupportedLayerError about the value of a key."""
        raise UnsupportedLayerError(f"{self._place(key)} is not supported: {reason}")

    def _place(self, key: str) -> str:
        entry = self._section.entries.get(key)
        line = self._section.line if entry is None else entry.line
        return f"cfg line {line}: [{self._section.name}] {key}"

    def _entry(self, key: str) -> Entry | None:
        if key not in self._understood:
            raise KeyError(key)
        return self._section.entries.get(key)

    def _read(self, key: str, default: T, convert: Callable[[str], T], expected: str) -> T:
        entry = self._entry(key)
        if entry is None:
            return default
        try:
            return convert(entry.value)
        except (ValueError, OverflowError):
            self.fail(key, f"expected {expected}, got {entry.value!r}")


def _list(text: str, convert: Callable[[str], T]) -> tuple[T, ...]:
    return tuple(convert(item) for item in text.split(",") if item.strip())


def unknown_key(section: Section, entry: Entry, known: Mapping[str, str]) -> CfgError:
    """Return the error about a key that the layer does not have, with the nearest one that it has."""
    near = get_close_matches(entry.key, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return CfgError(f"cfg line {entry.line}: [{section.name}] has no key {entry.key!r}{hint}")
