"""A font for any text: the first one on this machine that has all of its characters.

Pillow's built-in font knows ASCII alone and draws squares for the rest. Fonts are looked for where Linux, macOS and
Windows keep them, then in the package: DejaVu Sans (its license lies beside it) has Latin, Greek, Cyrillic, Arabic and
Hebrew, WenQuanYi Micro Hei (used under the Apache License 2.0; copyright 2006-2008 Google Corporation, 2007-2009 the
WenQuanYi Project and its contributors) Chinese, Japanese and Korean besides. Text that no font can draw is replaced by
what the caller gives instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FOLDERS: Final = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "C:/Windows/Fonts",
)
_PREFERRED: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular",
    "LiberationSans-Regular",
    "NotoSansCJK-Regular",
    "NotoSansSC",
    "wqy-",
    "DroidSansFallback",
    "PingFang",
    "msyh",
    "Arial Unicode",
    "unifont",
    "NotoSans",
)
FALLBACKS: Final = tuple(str(Path(__file__).parent / "zoo" / name) for name in ("DejaVuSans.ttf", "wqy-microhei.ttc"))
_SUFFIXES: Final = (".ttf", ".otf", ".ttc")
_PROBE_PX: Final = 24
_MAX_FONTS: Final = 400


def font_for(text: str, size_px: int, instead: str) -> tuple[str, Font]:
    """Return the text and a font that has all its characters, or ``instead`` (ASCII) and the built-in font."""
    if text.isascii():
        return text, ImageFont.load_default(size=size_px)
    path = _path_for(frozenset(text) - frozenset(" "))
    if path is None:
        return instead, ImageFont.load_default(size=size_px)
    return text, ImageFont.truetype(path, size_px)


@cache
def font_paths() -> tuple[str, ...]:
    """Return the regular fonts of this machine, those of many scripts first."""
    found = sorted({path for folder in _FOLDERS for path in _fonts_in(Path(folder).expanduser())}, key=_rank)
    return (*(str(path) for path in found[:_MAX_FONTS]), *FALLBACKS)


def _fonts_in(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names if name.lower().endswith(_SUFFIXES))


def _rank(path: Path) -> tuple[int, str]:
    return next((i for i, start in enumerate(_PREFERRED) if path.name.startswith(start)), sys.maxsize), path.name


@cache
def _path_for(characters: frozenset[str]) -> str | None:
    return next((path for path in font_paths() if _has_all(path, characters)), None)


def _has_all(path: str, characters: frozenset[str]) -> bool:
    """Compare each character's glyph with the one that the font draws for a character that no font has."""
    try:
        font = ImageFont.truetype(path, _PROBE_PX)
        missing = bytes(font.getmask("\U0010fffd"))
        return all(bytes(font.getmask(character)) not in {missing, b""} for character in characters)
    except (OSError, ValueError):
        return False
