"""Writes the tables of docs/darknet.md from those of the code: ``python -m tests.models.darknet.reference``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from yoloscope.models.darknet.keys import LAYER_INERT, NET_INERT
from yoloscope.models.darknet.layer_plan import LayerType
from yoloscope.models.darknet.layer_types import ALIASES, LAYER_TYPES, NET_KEYS, REFUSED_TYPES
from yoloscope.models.layers.activations import ACTIVATIONS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "darknet.md"
START, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def tables() -> str:
    """Return the generated part of the page."""
    return "\n".join((*_layers(), *_refused(), *_net(), *_common(), *_activations()))


def with_tables(page: str) -> str:
    """Return the page with its generated part renewed."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{tables()}\n{END}{after}"


def _layers() -> Iterator[str]:
    yield "### Sections that are supported\n"
    yield "| section | what it becomes | keys | without effect on detections | refused |\n|---|---|---|---|---|"
    for name, layer_type in LAYER_TYPES.items():
        others = "".join(f", [{alias}]" for alias, target in ALIASES.items() if target == name)
        keys = "; ".join(f"{' '.join(keys)} {meaning}" for meaning, keys in _grouped(layer_type.keys).items())
        yield f"| [{name}]{others} | {layer_type.summary} | {keys} | {_own_inert(layer_type)} | {_off(layer_type)} |"
    yield ""


def _own_inert(layer_type: LayerType) -> str:
    return _by_reason({key: why for key, why in layer_type.inert.items() if key not in LAYER_INERT})


def _off(layer_type: LayerType) -> str:
    return _by_reason(layer_type.refused)


def _by_reason(keys: Mapping[str, str]) -> str:
    return "; ".join(f"{' '.join(names)} ({reason})" for reason, names in _grouped(keys).items())


def _grouped(keys: Mapping[str, str]) -> Mapping[str, list[str]]:
    meanings: defaultdict[str, list[str]] = defaultdict(list)
    for key, meaning in keys.items():
        meanings[meaning].append(f"`{key}`")
    return meanings


def _refused() -> Iterator[str]:
    yield "### Sections that are refused\n"
    yield "| section | reason |\n|---|---|"
    yield from (f"| [{name}] | {reason} |" for name, reason in REFUSED_TYPES.items())
    yield ""


def _net() -> Iterator[str]:
    yield "### [net]\n"
    yield f"Understood: {'; '.join(f'`{key}` {meaning}' for key, meaning in NET_KEYS.items())}.\n"
    yield f"Without effect on detections: {_by_reason(NET_INERT)}.\n"


def _common() -> Iterator[str]:
    yield "### Keys that every layer may have\n"
    yield f"Without effect on detections: {_by_reason(LAYER_INERT)}.\n"


def _activations() -> Iterator[str]:
    yield "### Activations\n"
    yield ", ".join(f"`{name}`" for name in ACTIVATIONS) + ".\n"


def main() -> None:
    """Renew the page."""
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    main()
