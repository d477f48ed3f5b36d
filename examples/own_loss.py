"""A box loss of one's own, registered by its name and used by a preset: ``python examples/own_loss.py``."""

import sys

import torch
from torch import Tensor

from yoloscope.models.registry import build
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import FormulaPreset, LossReport, compute_loss
from yoloscope.training.losses.terms import BoxPairs, box_loss


@box_loss
def huber(pairs: BoxPairs) -> dict[str, Tensor]:
    """Return Huber costs of centers (in cells) and extents (as fractions), quadratic below 0.1."""
    center = torch.nn.functional.huber_loss(pairs.predicted_offset, pairs.target_offset, reduction="none", delta=0.1)
    size = torch.nn.functional.huber_loss(
        pairs.predicted_cxcywh[:, 2:], pairs.target_cxcywh[:, 2:], reduction="none", delta=0.1
    )
    return {"centre": center.sum(-1), "size": size.sum(-1)}


def main() -> LossReport:
    """Compute the loss of an untrained network on one image with one object, and show its terms."""
    torch.manual_seed(0)
    network = build("yolov4-tiny", num_classes=2).eval()
    truth = GroundTruth(torch.tensor([[0.5, 0.5, 0.3, 0.4]]), torch.tensor([1]), torch.tensor([0]), batch_size=1)
    report = compute_loss(
        network(torch.rand(1, 3, 416, 416)), truth, network.spec, FormulaPreset(name="mine", box_loss="huber")
    )
    for name, term in report.terms.items():
        sys.stdout.write(f"{name:16s} {float(term.weighted.detach()):10.4f}\n")
    return report


if __name__ == "__main__":
    main()
