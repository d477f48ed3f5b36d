"""Data sets on disk: COCO JSON, Pascal VOC XML and YOLO text labels, one module for each layout.

Labels are read once, when a data set is opened; images are read on demand.
"""

from yoloscope.training.data.datasets.dataset import (
    DatasetProblem,
    DetectionDataset,
    LabeledImage,
    Layout,
    ProblemKind,
)
from yoloscope.training.data.datasets.open import find_label_names, list_splits, open_dataset, open_split_or_all

__all__ = [
    "DatasetProblem",
    "DetectionDataset",
    "LabeledImage",
    "Layout",
    "ProblemKind",
    "find_label_names",
    "list_splits",
    "open_dataset",
    "open_split_or_all",
]
