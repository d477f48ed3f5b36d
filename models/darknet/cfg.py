"""The text of a darknet cfg as sections of keys that remember their lines (darknet src/option_list.c, src/parser.c)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from yoloscope.models.errors import CfgError


@dataclass(frozen=True)
class Entry:
    """One ``key=value`` and the line it stands on."""

    key: str
    value: str
    line: int


@dataclass(frozen=True)
class Section:
    """One ``[name]`` with its entries in file order; of a key given twice the first counts, as in darknet."""

    name: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)
    repeated: tuple[Entry, ...] = ()


def parse_cfg(text: str) -> list[Section]:
    """Parse a cfg: comments start with # or ; blanks, also those inside a value, and carriage returns are free.

    Raises CfgError naming the line for anything that is neither a section, a comment nor ``key=value``, and for a cfg
    whose first section is not [net].
    """
    sections: list[Section] = []
    for line, content in _content_lines(text):
        if content.startswith("["):
            sections.append(Section(_section_name(content, line), line))
            continue
        if not sections:
            raise CfgError(f"cfg line {line}: expected [net] first, got {content!r}")
        _add(sections, _entry(content, line))
    if not sections:
        raise CfgError("expected a cfg that starts with [net], got an empty text")
    if sections[0].name not in {"net", "network"}:
        raise CfgError(f"cfg line {sections[0].line}: expected [net] first, got [{sections[0].name}]")
    return sections


def _content_lines(text: str) -> Iterator[tuple[int, str]]:
    for line, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        content = raw.split("#", 1)[0].split(";", 1)[0].strip(" \t\r\n\0")
        if content:
            yield line, content


def _section_name(content: str, line: int) -> str:
    name, closed, rest = content[1:].partition("]")
    if not closed or rest.strip() or not name.strip():
        raise CfgError(f"cfg line {line}: expected a section like [convolutional], got {content!r}")
    return name.strip()


def _entry(content: str, line: int) -> Entry:
    key, separator, value = content.partition("=")
    key = key.strip()
    if not separator or not key:
        raise CfgError(f"cfg line {line}: expected key=value, got {content!r}")
    return Entry(key, "".join(value.split()), line)


def _add(sections: list[Section], entry: Entry) -> None:
    last = sections[-1]
    if entry.key in last.entries:
        sections[-1] = Section(last.name, last.line, last.entries, (*last.repeated, entry))
    else:
        last.entries[entry.key] = entry
