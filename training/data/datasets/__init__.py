"""Data sets on disk: COCO JSON, Pascal VOC folders and YOLO or darknet text labels, one module per layout.

Labels are read once, when a data set is opened; pictures are read on demand.
"""

from training.data.datasets.opening import open_dataset
from training.data.datasets.pictures import picture_size, read_picture
from training.data.datasets.structures import DatasetProblem, DetectionDataset, LabelledImage, Layout

__all__ = [
    "DatasetProblem",
    "DetectionDataset",
    "LabelledImage",
    "Layout",
    "open_dataset",
    "picture_size",
    "read_picture",
]
