"""Label files: YOLO text, VOC XML, COCO JSON and the project's own JSON, one module each, read into one structure.

Nothing is clipped or dropped in silence: what cannot be read or is wrong is named by JSON pointer (RFC 6901; the
empty pointer is the whole file).
"""

from training.data.annotations.classes import UNKNOWN_CLASS, ClassIndex
from training.data.annotations.coco import CocoFile
from training.data.annotations.lint import FAULTS, LabelFinding, find_faults, lint
from training.data.annotations.placing import network_boxes, to_ground_truth
from training.data.annotations.reading import check_labels, parse_labels, scan_labels, valid_labels
from training.data.annotations.structures import (
    ImageLabels,
    LabelContext,
    LabelFormat,
    LabelLimits,
    LabelObject,
    LabelScan,
)

__all__ = [
    "FAULTS",
    "UNKNOWN_CLASS",
    "ClassIndex",
    "CocoFile",
    "ImageLabels",
    "LabelContext",
    "LabelFinding",
    "LabelFormat",
    "LabelLimits",
    "LabelObject",
    "LabelScan",
    "check_labels",
    "find_faults",
    "lint",
    "network_boxes",
    "parse_labels",
    "scan_labels",
    "to_ground_truth",
    "valid_labels",
]
