"""Class names as people write them, resolved to a model's class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

UNKNOWN_CLASS = -1

_SYNONYMS = (
    ("motorbike", "motorcycle"),
    ("aeroplane", "airplane"),
    ("sofa", "couch"),
    ("potted plant", "pottedplant"),
    ("dining table", "diningtable"),
    ("tv", "tvmonitor"),
)
"""Classes that Pascal VOC (and darknet's coco.names) and COCO spell differently."""


class ClassIndex:
    """Finds the class id of a written name.

    An exact match wins. Otherwise case, spaces, hyphens and underscores are evened out, and the six spellings in which
    VOC and COCO differ count as one; a loose match must be unique to count.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        self._exact = {name: index for index, name in reversed(tuple(enumerate(self.names)))}
        loose = [_loosen(name) for name in self.names]
        counts = Counter(loose)
        self._loose = {key: index for index, key in enumerate(loose) if counts[key] == 1}

    def by_name(self, name: str) -> int:
        """Return the class id of a name, or ``UNKNOWN_CLASS``."""
        if name in self._exact:
            return self._exact[name]
        return self._loose.get(_loosen(name), UNKNOWN_CLASS)

    def by_id(self, class_id: int) -> int:
        """Return the id itself if the model has it, else ``UNKNOWN_CLASS``."""
        return class_id if 0 <= class_id < len(self.names) else UNKNOWN_CLASS


_CANONICAL = {spelling: pair[0] for pair in _SYNONYMS for spelling in pair}


def _loosen(name: str) -> str:
    evened = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return _CANONICAL.get(evened, evened)
