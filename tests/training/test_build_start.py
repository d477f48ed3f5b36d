"""Starting from darknet's files."""

from pathlib import Path

import pytest
import torch

from tests.training.runs import Configure
from yoloscope.models import registry
from yoloscope.models.darknet.weights import save_weights
from yoloscope.models.errors import WeightsError
from yoloscope.models.layers.weight_block import weighted_layers
from yoloscope.training.build import build_network
from yoloscope.training.data.datasets import open_dataset


def trained(folder: Path, classes: int) -> tuple[Path, dict[str, torch.Tensor]]:
    """A .weights file of random weights, and the same by name."""
    torch.manual_seed(9)
    network = registry.build("yolov4-tiny", classes, input_size=(64, 64), width=0.125)
    path = folder / "start.weights"
    path.write_bytes(save_weights(network))
    return path, network.state_dict()


def agreeing(network: torch.nn.Module, given: dict[str, torch.Tensor]) -> set[str]:
    """The kernels that two networks have in common."""
    own = network.state_dict()
    return {
        key
        for key, value in given.items()
        if key.endswith("conv.weight") and own[key].shape == value.shape and torch.equal(own[key], value)
    }


def test_a_whole_file(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    path, given = trained(tmp_path, classes=2)
    network = build_network(configure(start={"weights": str(path)}), open_dataset(shapes, "train"))
    assert agreeing(network, given) == {key for key in given if key.endswith("conv.weight")}


def test_a_whole_file_of_other_classes_is_refused_with_the_reason(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    path, _ = trained(tmp_path, classes=5)
    with pytest.raises(WeightsError, match="trained for 5 classes"):
        build_network(configure(start={"weights": str(path)}), open_dataset(shapes, "train"))


def test_all_but_the_heads_of_a_file_of_other_classes(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    path, given = trained(tmp_path, classes=5)
    start = {"weights": str(path), "part": "other_classes", "num_classes": 5}
    network = build_network(configure(start=start), open_dataset(shapes, "train"))
    kernels = {key for key in given if key.endswith("conv.weight")}
    heads = {key for key in kernels if network.state_dict()[key].shape != given[key].shape}
    assert len(heads) == 2
    assert agreeing(network, given) == kernels - heads


def test_the_first_layers_of_a_file(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    path, given = trained(tmp_path, classes=5)
    start = {"weights": str(path), "part": "backbone", "layers": 4}
    network = build_network(configure(start=start), open_dataset(shapes, "train"))
    names = {id(module): name for name, module in network.named_modules()}
    first = [names[id(layer)] for layer in list(weighted_layers(network))[:4] if isinstance(layer, torch.nn.Module)]
    assert agreeing(network, given) == {f"{name}.conv.weight" for name in first}


def test_a_missing_file(shapes: Path, configure: Configure) -> None:
    with pytest.raises(WeightsError, match="cannot read the weights"):
        build_network(configure(start={"weights": "none.weights"}), open_dataset(shapes, "train"))
