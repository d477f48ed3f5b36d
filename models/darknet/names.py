"""Class names as darknet users keep them: a .names file, or the .data file that points at one."""

from __future__ import annotations

from pathlib import Path

from yoloscope.models.classes import decode_text, read_class_names
from yoloscope.models.darknet.detector_spec import find_data_file
from yoloscope.models.darknet.foreign_files import HEAD_BYTES, describe_file, is_text
from yoloscope.models.errors import ConfigError


def read_darknet_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a file with one a line, or of the file at which ``names=`` of a .data file points.

    The path in a .data file is looked for beside it and in the folders above, as darknet is started in any of them.
    Raises ConfigError where a file is missing, no text, names no file, or has a name twice.
    """
    try:
        head = path.read_bytes()[:HEAD_BYTES]
    except OSError as error:
        raise ConfigError(f"expected a text file of class names at {path}, got: {error}") from error
    if head.lstrip().startswith((b"<", b"[net", b"version https://git-lfs")) or head.startswith(b"PK\x03\x04"):
        raise ConfigError(f"expected a text file of class names at {path}, got {describe_file(head)}")
    entries = _data_entries(path) if is_text(head) else None
    if entries is None:
        return read_class_names(path)
    name = entries.get("names")
    if not name:
        raise ConfigError(f"expected names= in {path}, which is a .data file, got {', '.join(entries)}")
    names_file = find_data_file(path.parent, name)
    if names_file is None:
        raise ConfigError(f"{path} says names={name}: expected that file beside it or in a folder above, found none")
    return read_class_names(names_file)


def _data_entries(path: Path) -> dict[str, str] | None:
    """Return the keys of a .data file, or None where a line is not ``key = value`` or no key is one of darknet's."""
    try:
        lines = [line.strip() for line in decode_text(path.read_bytes()).splitlines()]
    except UnicodeDecodeError:
        return None
    lines = [line for line in lines if line and not line.startswith(("#", ";"))]
    pairs = [line.partition("=") for line in lines]
    if not pairs or not all(separator and key.strip() for key, separator, _ in pairs):
        return None
    entries = {key.strip(): value.strip() for key, _, value in pairs}
    return entries if {"classes", "names", "train", "valid", "backup"} & set(entries) else None
