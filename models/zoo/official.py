"""The official darknet weights that can be pulled by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final


@dataclass(frozen=True)
class OfficialWeights:
    """One official .weights file; ``network`` is its name in the registry, ``names_file`` lies beside this module."""

    name: str
    file_name: str
    url: str
    size: int
    sha256: str
    network: str
    names_file: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs."""
        return tuple(files("models.zoo").joinpath(self.names_file).read_text(encoding="utf-8").split("\n")[:-1])


_YOLOV4_TINY: Final = OfficialWeights(
    name="yolov4-tiny",
    file_name="yolov4-tiny.weights",
    url="https://github.com/AlexeyAB/darknet/releases/download/darknet_yolo_v4_pre/yolov4-tiny.weights",
    size=24_251_276,
    sha256="cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
    network="yolov4-tiny",
    names_file="coco.names",
)

OFFICIAL: Final[Mapping[str, OfficialWeights]] = {weights.name: weights for weights in (_YOLOV4_TINY,)}
