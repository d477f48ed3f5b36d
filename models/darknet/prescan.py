"""What must be known of a cfg before its first layer is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.darknet.cfg import Section

_JOINING = {"route": "layers", "shortcut": "from", "sam": "from", "scale_channels": "from"}


def _value(section: Section, key: str, default: str) -> str:
    entry = section.entries.get(key)
    return default if entry is None else entry.value


def _integers(text: str) -> Iterator[int]:
    """Yield the whole numbers of a list; the builders complain about the rest."""
    for item in text.split(","):
        if item.strip().lstrip("+-").isdigit():
            yield int(item)


def referenced_layers(sections: Sequence[Section]) -> frozenset[int]:
    """Return the absolute indices that any route, shortcut, sam or scale_channels names."""
    return frozenset(
        index + relative if relative < 0 else relative
        for index, section in enumerate(sections)
        if section.name in _JOINING
        for relative in _integers(_value(section, _JOINING[section.name], ""))
    )


def layers_feeding_new_coords(sections: Sequence[Section]) -> frozenset[int]:
    """Return the logistic convolutions read by a new_coords head alone: decoding applies their logistic."""
    taken = referenced_layers(sections)
    return frozenset(
        index - 1
        for index, section in enumerate(sections)
        if index
        and section.name == "yolo"
        and any(_integers(_value(section, "new_coords", "0")))
        and _is_logistic_convolution(sections[index - 1])
        and index - 1 not in taken
    )


def _is_logistic_convolution(section: Section) -> bool:
    return (
        section.name in {"convolutional", "conv"}
        and _value(section, "activation", "logistic") == "logistic"
        and not any(_integers(_value(section, "antialiasing", "0")))
    )
