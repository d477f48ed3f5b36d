"""Configuration and base class of the native networks, and the DetectorSpec of each family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from yoloscope.models.anchors import Anchors, AnchorSet, group_by_stride
from yoloscope.models.errors import ConfigError
from yoloscope.models.spec import RGB_CHANNELS, DetectorSpec, HeadSpec, LossSpec, NmsSpec, ResizeSpec

IOU_NMS = NmsSpec(beta=None)
DIOU_NMS = NmsSpec(beta=0.6)


@dataclass(frozen=True)
class NetworkConfig:
    """Classes, input size, anchors (None: those of the paper) and input channels that a network is built for."""

    name: str
    class_names: tuple[str, ...]
    input_width: int
    input_height: int
    anchors_px: Anchors | None = None
    input_channels: int = RGB_CHANNELS

    def grid(self, stride: int) -> tuple[int, int]:
        """Return (columns, rows) at a stride; raises ConfigError where it does not divide the input."""
        if self.input_width % stride or self.input_height % stride or min(self.input_width, self.input_height) < stride:
            raise ConfigError(
                f"{self.name}: expected an input of multiples of {stride}, got {self.input_width}x{self.input_height}"
            )
        return self.input_width // stride, self.input_height // stride


class Scale(NamedTuple):
    """One head of a YOLOv3 or v4 network."""

    stride: int
    scale_xy: float = 1.0


class Network(nn.Module):
    """A detector without its decoding: images float [B, C, H, W] in 0..1 -> the raw heads of ``spec``, in order."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.spec = spec

    def head_channels(self, index: int) -> int:
        """Return the channels that a head of ``spec`` has."""
        return self.spec.heads[index].num_channels(self.spec.num_classes)


def yolo_spec(
    config: NetworkConfig,
    family: Literal["v3", "v4"],
    scales: Sequence[Scale],
    published: AnchorSet,
    *,
    nms: NmsSpec = IOU_NMS,
    resize: ResizeSpec = ResizeSpec(),  # noqa: B008 - frozen
    new_coords: bool = False,
) -> DetectorSpec:
    """Return the spec of a network with one ``yolo`` head per scale; own anchors are shared out by size."""
    strides = [scale.stride for scale in scales]
    anchors = published if config.anchors_px is None else group_by_stride(config.anchors_px, strides)
    heads = []
    for scale, mask in zip(scales, anchors.masks, strict=True):
        columns, rows = config.grid(scale.stride)
        heads.append(
            HeadSpec(
                kind="yolo",
                grid_width=columns,
                grid_height=rows,
                anchor_indices=mask,
                scale_xy=scale.scale_xy,
                new_coords=new_coords,
            )
        )
    return _spec(config, family, heads, LossSpec(preset=family), anchors.anchors_px, nms, resize)


def region_spec(config: NetworkConfig, published: AnchorSet, stride: int) -> DetectorSpec:
    """Return the spec of a YOLOv2 network."""
    anchors = published if config.anchors_px is None else group_by_stride(config.anchors_px, [stride])
    columns, rows = config.grid(stride)
    head = HeadSpec(
        kind="region",
        grid_width=columns,
        grid_height=rows,
        anchor_indices=anchors.masks[0],
        class_activation="softmax",
    )
    return _spec(config, "v2", [head], LossSpec(preset="v2"), anchors.anchors_px)


def detection_spec(config: NetworkConfig, stride: int, boxes_per_cell: int, *, logistic: bool) -> DetectorSpec:
    """Return the spec of a YOLOv1 network.

    Its head is linear and predicts roots of sizes, as in darknet, trained by ``v1-darknet``; or, if ``logistic``, all
    box entries are logistic and the classes a softmax, trained by ``v1``.
    """
    if config.anchors_px is not None:
        raise ConfigError(f"{config.name}: expected no anchors, got {len(config.anchors_px)}")
    columns, rows = config.grid(stride)
    head = HeadSpec(
        kind="detection",
        grid_width=columns,
        grid_height=rows,
        boxes_per_cell=boxes_per_cell,
        activation="sigmoid" if logistic else "none",
        class_activation="softmax" if logistic else "none",
        sqrt_wh=not logistic,
    )
    return _spec(config, "v1", [head], LossSpec(preset="v1" if logistic else "v1-darknet"))


def _spec(
    config: NetworkConfig,
    family: Literal["v1", "v2", "v3", "v4"],
    heads: Sequence[HeadSpec],
    loss: LossSpec,
    anchors_px: Anchors = (),
    nms: NmsSpec = IOU_NMS,
    resize: ResizeSpec = ResizeSpec(),  # noqa: B008 - frozen
) -> DetectorSpec:
    return DetectorSpec(
        name=config.name,
        family=family,
        class_names=config.class_names,
        input_width=config.input_width,
        input_height=config.input_height,
        input_channels=config.input_channels,
        anchors_px=anchors_px,
        heads=tuple(heads),
        resize=resize,
        nms=nms,
        loss=loss,
    )


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for the block; each submodule gets its own mode back afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
