"""Label files: YOLO text, VOC XML, COCO JSON and the project's own JSON, one module each, read into one structure.

Nothing is clipped or dropped in silence: what cannot be read or is wrong is named by JSON pointer (RFC 6901; the
empty pointer is the whole file).
"""

from yoloscope.training.data.annotations.coco import CocoFile
from yoloscope.training.data.annotations.lint import FAULTS, LabelFinding, find_faults, lint
from yoloscope.training.data.annotations.reading import (
    check_labels,
    network_boxes,
    parse_labels,
    scan_labels,
    to_ground_truth,
    valid_labels,
)
from yoloscope.training.data.annotations.structures import (
    UNKNOWN_CLASS,
    ClassIndex,
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
