"""The 24 convolutions of YOLOv1 (Redmon et al. 2016, figure 3; darknet cfg/yolov1/yolo.cfg)."""

from __future__ import annotations

from torch import nn

from models.layers.convolution import ConvBlock
from models.layers.pooling import MaxPool

# (filters, size, stride); None is a 2x2 max pool.
_LAYERS: tuple[tuple[int, int, int] | None, ...] = (
    (64, 7, 2),
    None,
    (192, 3, 1),
    None,
    (128, 1, 1),
    (256, 3, 1),
    (256, 1, 1),
    (512, 3, 1),
    None,
    *((256, 1, 1), (512, 3, 1)) * 4,
    (512, 1, 1),
    (1024, 3, 1),
    None,
    *((512, 1, 1), (1024, 3, 1)) * 2,
    (1024, 3, 1),
    (1024, 3, 2),
    (1024, 3, 1),
    (1024, 3, 1),
)


class YoloV1Backbone(nn.Sequential):
    """Pictures [B, 3, H, W] -> [B, 1024, H/64, W/64]."""

    stride = 64
    channels = 1024

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for layer in _LAYERS:
            if layer is None:
                layers.append(MaxPool(2, 2))
                continue
            filters, size, stride = layer
            layers.append(ConvBlock(channels, filters, size, stride))
            channels = filters
        super().__init__(*layers)
