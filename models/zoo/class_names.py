"""The class names of the public data sets, in the order of darknet's .names files."""

from __future__ import annotations

from importlib import resources


def _read(file_name: str) -> tuple[str, ...]:
    text = resources.files("models.zoo").joinpath(file_name).read_text(encoding="utf-8")
    return tuple(text.splitlines())


COCO = _read("coco.names")
VOC = _read("voc.names")
