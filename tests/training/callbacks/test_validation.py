"""The loss on validation images: the training's own loss, averaged over the images whatever the batches."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.runs import Configure
from yoloscope.models.detector import scale_pixels
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import LossSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.build import build_network
from yoloscope.training.callbacks.validation import ValidationLoss
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.losses import compute_loss
from yoloscope.training.train import train_network


def stated_truth(folder: Path, count: int) -> GroundTruth:
    """Return the objects of the first images from their files, which hold fractions of the image."""
    rows = [np.loadtxt(folder / "labels" / "train" / f"{number}.txt", ndmin=2) for number in range(count)]
    numbers = torch.from_numpy(np.concatenate(rows))
    index = torch.arange(count).repeat_interleave(torch.tensor([len(one) for one in rows]))
    return GroundTruth(numbers[:, 1:].float(), numbers[:, 0].long(), index, count)


@pytest.mark.parametrize("preset", ["v4", "v3", "v4-darknet"])
def test_it_is_the_loss_of_all_images_at_once(preset: str, shapes: Path, configure: Configure) -> None:
    dataset = open_dataset(shapes, "train")
    network = build_network(configure(), dataset).eval()
    spec = network.spec.model_copy(update={"loss": LossSpec(preset=preset)})
    pixels = np.stack([preprocess(image.read(), spec)[0] for image in dataset.images[:3]])
    with torch.no_grad():
        heads = network(scale_pixels(torch.from_numpy(pixels)))
        expected = compute_loss(heads, stated_truth(shapes, 3), spec, preset=None, images_seen=0)
    detector, loss = TorchDetector(network, spec), ValidationLoss(spec, images_seen=0)
    for first, last in ((0, 2), (2, 3)):
        detector.detect(pixels[first:last], [0.5] * (last - first), [0.5] * (last - first))
        loss.add(detector.heads, dataset.images[first:last])
    values = loss.values()
    assert values["val/loss"] == pytest.approx(float(expected.total), rel=1e-4)
    for name, term in expected.terms.items():
        assert values[f"val/loss/{name}"] == pytest.approx(float(term.weighted), rel=1e-4)


def test_it_is_logged_beside_ap_and_falls(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(
        epochs=30,
        data={"val": "train"},
        ema=None,
        optimizer={"lr": 0.01},
        validation={"every_epochs": 10, "batch_size": 4},
    )
    train_network(config, shapes, tmp_path)
    with (tmp_path / "logs" / "csv" / "from_step_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/AP"]]
    losses = [float(row["val/loss"]) for row in rows]
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert losses[2] < losses[0] / 2
    terms = ("box", "objectness", "no_objectness", "classification")
    for row, total in zip(rows, losses, strict=True):
        assert total == pytest.approx(sum(float(row[f"val/loss/{term}"]) for term in terms), rel=1e-5)
        assert total == pytest.approx(float(row["val/loss/stride_16"]) + float(row["val/loss/stride_32"]), rel=1e-5)


def test_a_box_over_the_edge_counts_as_far_as_it_is_inside(own_shapes: Path, configure: Configure) -> None:
    label = own_shapes / "labels" / "train" / "0.txt"
    values = []
    for text in ("0 0.05 0.5 0.4 0.4\n", "0 0.125 0.5 0.25 0.4\n"):
        label.write_text(text)
        image = open_dataset(own_shapes, "train").images[0]
        network = build_network(configure(), open_dataset(own_shapes, "train")).eval()
        detector, loss = TorchDetector(network, network.spec), ValidationLoss(network.spec, images_seen=0)
        detector.detect(preprocess(image.read(), network.spec)[0][None], [0.5], [0.5])
        loss.add(detector.heads, [image])
        values.append(loss.values()["val/loss"])
    assert values[0] == pytest.approx(values[1], rel=1e-6)
