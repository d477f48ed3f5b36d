"""Data sets on disk: COCO JSON, Pascal VOC folders and YOLO or darknet text labels, one module per layout.

Labels are read once, when a data set is opened; pictures are read on demand.
"""

from yoloscope.training.data.datasets.dataset import DatasetProblem, DetectionDataset, LabelledImage, Layout
from yoloscope.training.data.datasets.images import picture_size, read_picture
from yoloscope.training.data.datasets.open import open_dataset

__all__ = [
    "DatasetProblem",
    "DetectionDataset",
    "LabelledImage",
    "Layout",
    "open_dataset",
    "picture_size",
    "read_picture",
]
