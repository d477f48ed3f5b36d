"""Findings of an audit in the tools where people label: Label Studio, FiftyOne."""

from yoloscope.training.diagnostics.exchange.fiftyone import to_fiftyone
from yoloscope.training.diagnostics.exchange.label_studio import LabelingConfig, to_label_studio

__all__ = ["LabelingConfig", "to_fiftyone", "to_label_studio"]
