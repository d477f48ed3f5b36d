"""Input and result of a layer builder: Context, BuiltLayer, HeadPlan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from yoloscope.models.darknet.options import Options
from yoloscope.models.errors import UnsupportedLayerError


@dataclass(frozen=True)
class Shape:
    """Channels, height and width of a feature map."""

    channels: int
    height: int
    width: int

    @property
    def numel(self) -> int:
        """Number of values."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels} channels of {self.width}x{self.height}"


@dataclass(frozen=True)
class HeadPlan:
    """A detection head as its section describes it.

    ``anchors`` are pairs in the unit of the section (pixels, or cells for region), ``mask`` indexes them. ``loss``
    holds the training keys of the section by their darknet names.
    """

    kind: Literal["yolo", "gaussian_yolo", "region", "detection"]
    line: int
    shape: Shape
    num_classes: int
    loss: Mapping[str, object]
    anchors: tuple[tuple[float, float], ...] = ()
    mask: tuple[int, ...] = ()
    scale_xy: float = 1.0
    new_coords: bool = False
    needs_sigmoid: bool = True
    class_activation: Literal["sigmoid", "softmax", "tree", "none"] = "sigmoid"
    boxes_per_cell: int = 0
    side: int = 0
    sqrt_wh: bool = False
    tree_file: str | None = None
    map_file: str | None = None
    nms_kind: str = "default"
    beta_nms: float = 0.6


@dataclass(frozen=True)
class BuiltLayer:
    """A built layer: its module, the indices of the layers it reads (-1 is the image) and what it yields.

    ``shape`` is None where nothing may read the layer.
    """

    module: nn.Module
    shape: Shape | None
    sources: tuple[int, ...]
    head: HeadPlan | None = None


@dataclass
class Context:
    """The network built so far, before the layer at hand.

    ``referenced`` are the layers that some route, shortcut, sam or scale_channels names; ``feeds_new_coords`` those
    whose logistic a new_coords head takes over.
    """

    image: Shape
    referenced: frozenset[int]
    feeds_new_coords: frozenset[int]
    folder: Path | None
    layers: list[BuiltLayer] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def index(self) -> int:
        """Index of the layer at hand."""
        return len(self.layers)

    @property
    def previous(self) -> int:
        """Index of the layer before it, -1 for the image."""
        return self.index - 1

    def input_shape(self, options: Options) -> Shape:
        """Return the shape of what the layer before yields."""
        return self.image if self.index == 0 else self.shape_of(self.previous, options)

    def shape_of(self, index: int, options: Options) -> Shape:
        """Return the shape of an earlier layer; raise where it yields nothing to read."""
        shape = self.layers[index].shape
        if shape is None:
            raise UnsupportedLayerError(
                f"{options.where} reads layer {index}, a [{self.names[index]}], whose output no layer may read"
            )
        return shape

    def resolve(self, options: Options, key: str, index: int) -> int:
        """Return the absolute index of a layer given absolutely, or relative to the layer at hand if negative."""
        absolute = self.index + index if index < 0 else index
        if not 0 <= absolute < self.index:
            options.fail(key, f"expected a layer before layer {self.index}, got {index}")
        return absolute


Builder = Callable[[Options, Context], BuiltLayer]


@dataclass(frozen=True)
class LayerType:
    """A section type: how it is built and what each of its keys means.

    ``inert`` keys have no effect on inference, ``refused`` keys raise unless they are 0 or none; both say why.
    """

    build: Builder
    summary: str
    keys: Mapping[str, str] = field(default_factory=dict)
    inert: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
