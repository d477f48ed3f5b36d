"""Why a .weights file may not fit a network."""

from __future__ import annotations

from torch import nn

from models.darknet.header import WeightsHeader
from models.layers.convolution import ConvBlock
from models.spec import DetectorSpec


def explain_mismatch(network: nn.Module, header: WeightsHeader, expected: int, got: int) -> str:
    """Return a message with both counts, in parameters and bytes, and the likely cause."""
    spec = getattr(network, "spec", None)
    causes = _class_count(network, spec, got - expected) if isinstance(spec, DetectorSpec) else None
    if causes is None:
        causes = (
            "the file is cut off, holds a backbone alone, or belongs to another cfg"
            if got < expected
            else "the weights belong to another cfg"
        )
    return (
        f"expected {expected} parameters ({header.num_bytes + 4 * expected} bytes) for this network, "
        f"got {got} ({header.num_bytes + 4 * got} bytes): {causes}"
    )


def _class_count(network: nn.Module, spec: DetectorSpec, excess: int) -> str | None:
    """Return the class count that would explain the difference, if one does."""
    per_class = _parameters_per_class(network, spec)
    if not per_class or excess % per_class:
        return None
    classes = spec.num_classes + excess // per_class
    if classes < 1:
        return None
    return f"the weights were trained for {classes} classes and the cfg has {spec.num_classes}"


def _parameters_per_class(network: nn.Module, spec: DetectorSpec) -> int:
    """Return the parameters that one more class adds to the convolutions before the heads."""
    anchors_of = {head.num_channels(spec.num_classes): head.num_anchors for head in spec.heads}
    return sum(
        anchors_of[module.conv.out_channels] * (module.conv.weight[0].numel() + 1)
        for module in network.modules()
        if isinstance(module, ConvBlock) and module.norm is None and module.conv.out_channels in anchors_of
    )
