"""YOLOv1 (Redmon et al. 2016, "You Only Look Once")."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.yolov1_backbone import YoloV1Backbone
from models.layers.connected import Connected
from models.layers.local import LocalConv
from models.outline import Network, Outline, detection_spec
from models.spec import DetectorSpec

_LOCAL_FILTERS = 256


class YoloV1(Network):
    """24 convolutions, a locally connected layer, and one matrix that sees the whole picture and predicts every cell.

    The published weights are of this form (darknet cfg/yolov1/yolo.cfg, 3 boxes per cell); the paper has a second
    matrix instead of the local layer, and 2 boxes.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__(spec)
        head = spec.heads[0]
        self.backbone = YoloV1Backbone()
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


def yolov1(outline: Outline, *, boxes_per_cell: int = 3, logistic: bool = False) -> YoloV1:
    """Return the network; ``logistic`` has its entries decoded as the article's formulas say."""
    return YoloV1(detection_spec(outline, YoloV1Backbone.stride, boxes_per_cell, logistic=logistic))
