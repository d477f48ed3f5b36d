"""Darknet weights to the artefact. Takes much memory: the commands call it, the service never does."""

from __future__ import annotations

from pathlib import Path

from models.darknet.builder import build_network
from models.darknet.network import require_complete
from models.darknet.weights import darknet_source, load_weights
from models.errors import ConfigError
from models.registry import build
from models.zoo.official import OfficialWeights
from training.export.onnx import export_onnx
from training.export.parity import ParityReport


def convert_official(official: OfficialWeights, weights: Path, target: Path) -> ParityReport:
    """Load official weights into the native network and write the artefact; return how well it agrees."""
    network = build(official.network, num_classes=len(official.class_names), class_names=official.class_names)
    header = load_weights(network, weights)
    update = {"name": official.name, "loss": official.loss, "source": darknet_source(weights, header)}
    return export_onnx(network, network.spec.model_copy(update=update), target)


def convert_darknet(cfg: Path, weights: Path, names: Path | None, target: Path) -> tuple[ParityReport, tuple[str, ...]]:
    """Build the network of a cfg, load its weights, write the artefact; return the parity and the notices."""
    network = build_network(cfg, class_names=None if names is None else read_names(names))
    require_complete(network)
    header = load_weights(network, weights)
    source = darknet_source(weights, header, network.notices)
    return export_onnx(network, network.spec.model_copy(update={"source": source}), target), network.notices


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a .names file: one per line, blank lines at its end ignored."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the class names {path}: {error}") from error
    if "" in lines or not lines:
        raise ConfigError(f"expected one class name per line in {path}, got a blank line or none at all")
    return tuple(lines)
