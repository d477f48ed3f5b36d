"""Conversion of darknet weights to artifacts. Takes much memory: the commands call it, the service never does."""

from __future__ import annotations

from pathlib import Path

from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.names import read_darknet_names
from yoloscope.models.darknet.network import require_complete
from yoloscope.models.darknet.weights import darknet_source, load_weights
from yoloscope.models.registry import build
from yoloscope.models.zoo.official import OfficialWeights, correct_anchors
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import ParityReport


def convert_official(official: OfficialWeights, weights: Path, target: Path) -> ParityReport:
    """Load official weights into the native network and write the artifact; return how well it agrees."""
    network = build(official.network, num_classes=len(official.class_names), class_names=official.class_names)
    header = load_weights(network, weights)
    update = {"name": official.name, "loss": official.loss, "source": darknet_source(weights, header)}
    return export_onnx(network, official.correct_anchors(network.spec).model_copy(update=update), target)


def convert_darknet(
    cfg: Path, weights: Path, names: Path | None, target: Path, input_size: tuple[int, int] | None = None
) -> tuple[ParityReport, tuple[str, ...]]:
    """Build the network of a cfg, load its weights, write the artifact; return the parity and the notices.

    ``input_size`` (width, height) overrides that of the cfg.
    """
    network = build_darknet(
        cfg, class_names=None if names is None else read_darknet_names(names), input_size=input_size
    )
    require_complete(network)
    header = load_weights(network, weights)
    source = darknet_source(weights, header)
    spec, corrections = correct_anchors(network.spec, source.sha256 or "")
    notices = (*network.notices, *header.notices, *corrections)
    source = source.model_copy(update={"notices": notices})
    return export_onnx(network, spec.model_copy(update={"source": source}), target), notices
