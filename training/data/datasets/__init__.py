"""Data sets on disk: COCO JSON, Pascal VOC folders and YOLO or darknet text labels, one module per layout.

Labels are read once, when a data set is opened; images are read on demand.
"""

from yoloscope.training.data.datasets.dataset import (
    DatasetProblem,
    DetectionDataset,
    LabelledImage,
    Layout,
    ProblemKind,
)
from yoloscope.training.data.datasets.images import image_size, read_image
from yoloscope.training.data.datasets.open import open_dataset

__all__ = [
    "DatasetProblem",
    "DetectionDataset",
    "LabelledImage",
    "Layout",
    "ProblemKind",
    "image_size",
    "open_dataset",
    "read_image",
]
