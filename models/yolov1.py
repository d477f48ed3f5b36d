"""YOLOv1 (Redmon et al. 2016, "You Only Look Once") and its tiny version (darknet cfg/yolov1/tiny-yolo.cfg)."""

from __future__ import annotations

from torch import Tensor, nn

from yoloscope.models.backbones.darknet import TinyBackbone, YoloV1Backbone, scaled
from yoloscope.models.layers.connected import Connected
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.layers.local import LocalConv
from yoloscope.models.network import Network, NetworkConfig, detection_spec
from yoloscope.models.spec import DetectorSpec

_LOCAL_FILTERS = 256
_TINY_STRIDE = 64


class YoloV1(Network):
    """24 convolutions, a locally connected layer, and one matrix that sees the whole image and predicts every cell.

    The published weights are of this form (darknet cfg/yolov1/yolo.cfg, 3 boxes per cell); the paper has a second
    matrix instead of the local layer, and 2 boxes.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__(spec)
        head = spec.heads[0]
        self.backbone = YoloV1Backbone(spec.input_channels)
        self.local = LocalConv(
            YoloV1Backbone.channels, head.grid_height, head.grid_width, _LOCAL_FILTERS, size=3, padding=1
        )
        self.dropout = nn.Dropout(0.5)
        cells = head.grid_height * head.grid_width
        self.predict = Connected(_LOCAL_FILTERS * cells, self.head_channels(0), activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the flat head."""
        features = self.dropout(self.local(self.backbone(images)))
        return (self.predict(features).flatten(1),)


def yolov1(config: NetworkConfig, *, boxes_per_cell: int = 3, logistic: bool = False) -> YoloV1:
    """Build the network; with ``logistic`` box entries are sigmoids and classes a softmax, as in the article."""
    return YoloV1(detection_spec(config, YoloV1Backbone.stride, boxes_per_cell, logistic=logistic))


class YoloV1Tiny(Network):
    """A tiny backbone pooled to stride 64, two wide convolutions, and a matrix that predicts every cell."""

    def __init__(self, spec: DetectorSpec, width: float) -> None:
        super().__init__(spec)
        head = spec.heads[0]
        widths = [scaled(channels, width) for channels in (16, 32, 64, 128, 256, 512, 1024, 256)]
        self.backbone = TinyBackbone(widths[:6], last_stride=2, in_channels=spec.input_channels)
        self.mix = nn.Sequential(ConvBlock(widths[5], widths[6], 3), ConvBlock(widths[6], widths[7], 3))
        cells = head.grid_height * head.grid_width
        self.predict = Connected(widths[7] * cells, self.head_channels(0), activation="linear")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the flat head."""
        return (self.predict(self.mix(self.backbone(images)[-1])).flatten(1),)


def yolov1_tiny(
    config: NetworkConfig, *, boxes_per_cell: int = 2, logistic: bool = False, width: float = 1.0
) -> YoloV1Tiny:
    """Build the network; with ``logistic`` box entries are sigmoids and classes a softmax, as in the article."""
    return YoloV1Tiny(detection_spec(config, _TINY_STRIDE, boxes_per_cell, logistic=logistic), width)
