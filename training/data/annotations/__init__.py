"""Label files: YOLO text, VOC XML, COCO JSON and native JSON, one module each, read into ``ImageLabels``.

Nothing is clipped or dropped silently: every fault is named by a JSON pointer (RFC 6901; the empty pointer is the whole
file). Nothing here needs torch but ``ground_truth``, which makes tensors of labels.
"""

from yoloscope.training.data.annotations.coco import CocoFile
from yoloscope.training.data.annotations.lint import (
    FAULTS,
    UNUSABLE,
    LabelFault,
    LabelFinding,
    find_faults,
    find_unusable,
    lint,
    usable_rows,
)
from yoloscope.training.data.annotations.reading import (
    check_labels,
    parse_labels,
    scan_labels,
    valid_labels,
)
from yoloscope.training.data.annotations.shapes import LabelShape, ShapePolicy, count_shapes
from yoloscope.training.data.annotations.structures import (
    ImageLabels,
    LabelContext,
    LabelFormat,
    LabelLimits,
    LabelObject,
    LabelScan,
    LabelsFormat,
    SizeProblem,
    size_mismatch,
)

__all__ = [
    "FAULTS",
    "UNUSABLE",
    "CocoFile",
    "ImageLabels",
    "LabelContext",
    "LabelFault",
    "LabelFinding",
    "LabelFormat",
    "LabelLimits",
    "LabelObject",
    "LabelScan",
    "LabelShape",
    "LabelsFormat",
    "ShapePolicy",
    "SizeProblem",
    "check_labels",
    "count_shapes",
    "find_faults",
    "find_unusable",
    "lint",
    "parse_labels",
    "scan_labels",
    "size_mismatch",
    "usable_rows",
    "valid_labels",
]
