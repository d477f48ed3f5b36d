"""Class names: the files that list them, the lookup of a name as people write it, and the color a class is drawn in."""

from __future__ import annotations

import codecs
import colorsys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from yoloscope.models.errors import ConfigError

UNKNOWN_CLASS: Final = -1

_SYNONYMS: Final = (
    ("motorbike", "motorcycle"),
    ("aeroplane", "airplane"),
    ("sofa", "couch"),
    ("potted plant", "pottedplant"),
    ("dining table", "diningtable"),
    ("tv", "tvmonitor"),
)
"""Classes that Pascal VOC (and darknet's coco.names) and COCO spell differently."""
_CANONICAL: Final = {spelling: pair[0] for pair in _SYNONYMS for spelling in pair}
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GOLDEN_RATIO: Final = 0.618033988749895


class ClassIndex:
    """Lookup of class ids by name or id.

    An exact name wins. Otherwise case, spaces, hyphens and underscores do not count, and the six spellings in which
    VOC and COCO differ are one name; such a match must be unique.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        self._exact = {name: index for index, name in reversed(tuple(enumerate(self.names)))}
        normalized = [normalize_class_name(name) for name in self.names]
        counts = Counter(normalized)
        self._normalized = {key: index for index, key in enumerate(normalized) if counts[key] == 1}

    def by_name(self, name: str) -> int:
        """Return the class id of a name, or ``UNKNOWN_CLASS``."""
        if name in self._exact:
            return self._exact[name]
        return self._normalized.get(normalize_class_name(name), UNKNOWN_CLASS)

    def by_id(self, class_id: int) -> int:
        """Return the id itself if the model has it, else ``UNKNOWN_CLASS``."""
        return class_id if 0 <= class_id < len(self.names) else UNKNOWN_CLASS


def normalize_class_name(name: str) -> str:
    """Return a name in lower case with single spaces for hyphens and underscores, synonyms replaced by one of them."""
    normalized = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return _CANONICAL.get(normalized, normalized)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a text file, one a line; blank lines at its end are ignored.

    Raises ConfigError for a file that is no text, has no names or a blank line between them, or has a name twice.
    """
    try:
        text = decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a text file of class names at {path}, got: {error}") from error
    return check_class_names([line.strip() for line in text.rstrip().splitlines()], path)


def check_class_names(names: Sequence[str], source: Path | str) -> tuple[str, ...]:
    """Return the names; raise ConfigError if there are none, one is empty or one stands there twice."""
    if not names or "" in names:
        raise ConfigError(f"expected class names in {source}, got {'an empty one' if names else 'none'}")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ConfigError(f"expected each class name once in {source}, got {', '.join(twice)} more than once")
    return tuple(names)


def decode_text(data: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 or UTF-32 with a byte order mark; raise UnicodeDecodeError otherwise."""
    return data.decode(text_encoding(data))


def text_encoding(data: bytes) -> str:
    """Return the encoding of a text file that begins so: UTF-8 where it has no byte order mark."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")


def encode_text(text: str, *, like: bytes) -> bytes:
    """Encode a text as ``decode_text`` decodes the bytes ``like``, byte order mark included."""
    mark = next((mark for mark, _ in _BYTE_ORDER_MARKS if like.startswith(mark)), b"")
    codec = {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"} | {
        codecs.BOM_UTF16_LE: "utf-16-le",
        codecs.BOM_UTF16_BE: "utf-16-be",
    }
    return mark + text.encode(codec.get(mark, "utf-8"))


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the RGB color of a class, the same in every image; neighbors in the list get distant hues.

    Hues that come close again, five classes on, differ in brightness.
    """
    hue = (0.08 + class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.9, 0.7, 0.8)[class_id % 3], (1.0, 0.6, 0.8)[class_id // 5 % 3])
    return round(red * 255), round(green * 255), round(blue * 255)


def text_color_on(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, whichever can be read on a color (by its luma, ITU-R BT.601)."""
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
