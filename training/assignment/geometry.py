"""The grid behind one raw head tensor, as met in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from yoloscope.models.errors import SpecError
from yoloscope.models.spec import DetectorSpec, HeadSpec


@dataclass(frozen=True)
class HeadGeometry:
    """Grid, anchors and network size of one head in one batch.

    ``anchors_px`` are those of this head, in network pixels; ``net_width`` and ``net_height`` are the size of the batch
    at hand, which multi-scale training varies around the spec's.
    """

    spec: HeadSpec
    index: int
    batch_size: int
    num_classes: int
    grid_width: int
    grid_height: int
    net_width: float
    net_height: float
    anchors_px: tuple[tuple[float, float], ...]

    @property
    def num_anchors(self) -> int:
        """Predictors per grid cell."""
        return self.spec.num_anchors

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Predictors of the batch as (B, A, h, w)."""
        return self.batch_size, self.num_anchors, self.grid_height, self.grid_width

    @property
    def anchors_norm(self) -> tuple[tuple[float, float], ...]:
        """Anchors of this head as fractions of the network input."""
        return tuple((w / self.net_width, h / self.net_height) for w, h in self.anchors_px)


def head_geometries(heads: Sequence[Tensor], spec: DetectorSpec) -> tuple[HeadGeometry, ...]:
    """Return the geometry of every head tensor; raise SpecError where tensors and spec disagree.

    Channels must be those of the spec. The grid may differ from the spec's, by one factor for all heads: that is a
    batch at another network size, with the same anchors in pixels.
    """
    if len(heads) != len(spec.heads):
        raise SpecError(f"expected {len(spec.heads)} head tensors, got {len(heads)}")
    geometries = tuple(_geometry(head, index, spec) for index, head in enumerate(heads))
    sizes = {(g.net_width, g.net_height, g.batch_size) for g in geometries}
    if len(sizes) > 1:
        raise SpecError(f"expected heads of one network size and batch, got (width, height, batch) {sorted(sizes)}")
    return geometries


def _geometry(head: Tensor, index: int, spec: DetectorSpec) -> HeadGeometry:
    head_spec = spec.heads[index]
    expected = spec.head_shape(index, head.shape[0])
    if head_spec.kind == "detection":
        fits = tuple(head.shape) == expected
        grid_height, grid_width = head_spec.grid_height, head_spec.grid_width
    else:
        fits = head.ndim == 4 and head.shape[1] == expected[1]
        grid_height, grid_width = head.shape[-2:]
    if not fits:
        raise SpecError(f"expected head {index} of shape {expected}, got {tuple(head.shape)}")
    stride_x, stride_y = spec.head_stride(index)
    return HeadGeometry(
        spec=head_spec,
        index=index,
        batch_size=head.shape[0],
        num_classes=spec.num_classes,
        grid_width=grid_width,
        grid_height=grid_height,
        net_width=stride_x * grid_width,
        net_height=stride_y * grid_height,
        anchors_px=spec.head_anchors_px(index),
    )
