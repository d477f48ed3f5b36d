"""Channel positions inside raw head tensors, named once.

Anchor-based heads (v2, v3, v4) are [B, A*(5+C), h, w]: per anchor x, y, w, h, objectness, then C class entries
(darknet ``entry_index``, src/yolo_layer.c). Gaussian heads interleave a sigma after each box entry. The YOLOv1 head is
flat: S*S*C class scores, S*S*n confidences, S*S*n*4 boxes (darknet src/detection_layer.c).
"""

from __future__ import annotations

from dataclasses import dataclass

X, Y, W, H, OBJECTNESS, CLASSES = range(6)
BOX = slice(X, H + 1)
XY = slice(X, Y + 1)
WH = slice(W, H + 1)

GAUSSIAN_MEANS = (0, 2, 4, 6)
GAUSSIAN_SIGMAS = (1, 3, 5, 7)
GAUSSIAN_OBJECTNESS = 8
GAUSSIAN_CLASSES = 9


@dataclass(frozen=True)
class DetectionLayout:
    """Offsets inside the flat YOLOv1 head [B, S*S*(C + 5n)]; ``cells`` is S*S, cell index is row * S + column."""

    cells: int
    boxes_per_cell: int
    num_classes: int

    @property
    def classes(self) -> slice:
        """Positions of the class scores, cell-major [cells, C]."""
        return slice(0, self.cells * self.num_classes)

    @property
    def confidences(self) -> slice:
        """Positions of the confidences, cell-major [cells, n]."""
        start = self.classes.stop
        return slice(start, start + self.cells * self.boxes_per_cell)

    @property
    def boxes(self) -> slice:
        """Positions of the boxes, cell-major [cells, n, 4] as x, y, w, h."""
        start = self.confidences.stop
        return slice(start, start + self.cells * self.boxes_per_cell * 4)

    @property
    def size(self) -> int:
        """Length of the flat head."""
        return int(self.boxes.stop)
