"""Starting points: what is taken, what is not, and in which words."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.runs import Configure, log_lines, quick_config
from yoloscope.models import registry
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import save_weights
from yoloscope.models.detector import scale_pixels
from yoloscope.models.errors import ConfigError, ExportError, WeightsError
from yoloscope.models.layers.weight_block import weighted_layers
from yoloscope.models.session import open_session
from yoloscope.models.spec import PrecisionSpec
from yoloscope.models.zoo import BUILTIN, official
from yoloscope.training.build import build_network
from yoloscope.training.config import TrainingConfig, find_config
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.export.artifact import read_spec, with_spec
from yoloscope.training.export.precision import make_fp16
from yoloscope.training.start import Donor, take_layers, unfold_norms
from yoloscope.training.train import train

CFG = """[net]
width=64
height=64
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters={filters}
size=1
stride=1
activation=linear

[yolo]
mask=0,1,2
anchors=10,14, 23,27, 37,58
classes={classes}
num=3
"""


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


pytestmark = pytest.mark.usefixtures("no_export")


@pytest.fixture
def dataset(shapes: Path) -> DetectionDataset:
    return open_dataset(shapes, "train")


HEADS = (
    "not neck.coarse_head.predict (21x64x1x1 here, 30x64x1x1 there), neck.fine_head.predict (21x32x1x1 here, "
    "30x32x1x1 there)"
)


class TestOneKey:
    """``start`` names a file, a run or a model; what does not fit is named and counted."""

    def test_a_file_for_another_number_of_classes(
        self, dataset: DetectionDataset, configure: Configure, tmp_path: Path
    ) -> None:
        path, given = trained(tmp_path, classes=5)
        with log_lines() as told:
            network = build_network(configure(start=str(path)), dataset)
        assert told == [f"start {path}: 19 of 21 layers taken, {HEADS}"]
        kernels = {key for key in given if key.endswith("conv.weight")}
        assert agreeing(network, given) == {key for key in kernels if ".predict." not in key}

    def test_a_file_for_as_many_classes(self, dataset: DetectionDataset, configure: Configure, tmp_path: Path) -> None:
        path, given = trained(tmp_path, classes=2)
        with log_lines() as told:
            network = build_network(configure(start=str(path)), dataset)
        assert told == [f"start {path}: 21 of 21 layers taken"]
        assert len(agreeing(network, given)) == 21

    def test_a_backbone(self, dataset: DetectionDataset, configure: Configure, tmp_path: Path) -> None:
        path, given = trained(tmp_path, classes=5)
        network = registry.build("yolov4-tiny", 5, input_size=(64, 64), width=0.125)
        lengths = [sum(block.tensor.numel() for block in layer.weight_blocks()) for layer in weighted_layers(network)]
        path.write_bytes(path.read_bytes()[: 20 + 4 * sum(lengths[:15])])
        with log_lines() as told:
            started = build_network(configure(start=str(path)), dataset)
        assert told[0].startswith(f"start {path}: 15 of 21 layers taken, not neck.")
        assert len(agreeing(started, given)) == 15

    def test_a_cut_file_says_how_many_parameters_are_missing(
        self, dataset: DetectionDataset, configure: Configure, tmp_path: Path
    ) -> None:
        path, _ = trained(tmp_path, classes=2)
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(WeightsError, match=r"expected \d+ parameters .* the file is cut off"):
            build_network(configure(start=str(path)), dataset)

    def test_a_run_gives_its_network_too(self, shapes: Path, tmp_path: Path) -> None:
        train(quick_config(epochs=1), shapes, tmp_path / "run")
        given = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["average"]["average"]
        for place in (tmp_path / "run", tmp_path / "run" / "last.ckpt"):
            config = TrainingConfig.parse({"start": str(place)})
            assert (config.network_options, config.input_size) == ({"width": 0.125}, (64, 64))
            network = build_network(config, open_dataset(shapes, "train"))
            assert len(agreeing(network, given)) == 21

    @pytest.mark.parametrize("other_folder", [False, True])
    def test_a_darknet_cfg_and_its_weights(
        self, dataset: DetectionDataset, configure: Configure, tmp_path: Path, *, other_folder: bool
    ) -> None:
        darknet = build_darknet(CFG.format(filters=30, classes=5))
        cfg, weights = tmp_path / "mine.cfg", tmp_path / ("backup" if other_folder else ".") / "mine.weights"
        weights.parent.mkdir(exist_ok=True)
        cfg.write_text(CFG.format(filters=30, classes=5))
        weights.write_bytes(save_weights(darknet))
        starts = [[str(cfg), str(weights)], [str(weights), str(cfg)]] if other_folder else [str(cfg), str(weights)]
        for start in starts:
            with log_lines() as told:
                network = build_network(configure(start=start), dataset)
            assert ": 2 of 21 layers taken, not backbone.blocks.0.enter (8x8x3x3 here, 30x8x1x1 there), " in told[0]
            own = [layer for layer in weighted_layers(network) if isinstance(layer, torch.nn.Module)]
            theirs = [layer for layer in weighted_layers(darknet) if isinstance(layer, torch.nn.Module)]
            for mine, other in zip(own[:2], theirs[:2], strict=True):
                assert torch.equal(mine.state_dict()["conv.weight"], other.state_dict()["conv.weight"])

    def test_an_official_name(
        self, dataset: DetectionDataset, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torch.manual_seed(3)
        network = registry.build("yolov4-tiny", 80)
        content = save_weights(network)
        entry = replace(official.OFFICIAL["yolov4-tiny"], size=len(content), sha256=hashlib.sha256(content).hexdigest())
        monkeypatch.setattr("yoloscope.training.start.OFFICIAL", {"yolov4-tiny": entry})
        (tmp_path / "yolov4-tiny.weights").write_bytes(content)
        monkeypatch.setenv("YOLOSCOPE_WEIGHTS", str(tmp_path))
        with log_lines() as told:
            started = build_network(configure(start="yolov4-tiny").replace(network_options={}), dataset)
        assert "start yolov4-tiny: 19 of 21 layers taken, not neck.coarse_head.predict (21x512x1x1 here" in told[0]
        assert len(agreeing(started, network.state_dict())) == 19

    def test_what_is_none_of_them_is_told_with_what_is(self, dataset: DetectionDataset, configure: Configure) -> None:
        with pytest.raises(
            ConfigError, match=r"start: expected an official model \(yolov1.*folder of a run.*'yolov4tiny'"
        ):
            build_network(configure(start="yolov4tiny"), dataset)

    def test_a_network_of_another_width_of_which_nothing_fits(
        self, dataset: DetectionDataset, configure: Configure, tmp_path: Path, shapes: Path
    ) -> None:
        train(quick_config(), shapes, tmp_path)
        with pytest.raises(WeightsError, match=r"start: expected layers of yolov4-tiny in .*, got none that fits"):
            build_network(configure(start=str(tmp_path), network_options={"width": 0.5}), dataset)


class TestArtifact:
    """An ONNX file has its normalization folded into the kernels."""

    def test_the_heads_are_those_of_the_artifact(self, dataset: DetectionDataset) -> None:
        cells = replace(dataset, class_names=("Platelets", "RBC", "WBC"))
        with log_lines() as told:
            network = build_network(TrainingConfig.parse({"start": "builtin"}), cells)
        assert told == ["start builtin: 24 of 24 layers taken"]
        images = np.random.default_rng(0).integers(0, 256, (1, 256, 352, 3)).astype(np.uint8)
        session = open_session(BUILTIN)
        names = [value.name for value in session.get_outputs() if value.name.startswith("head")]
        feed = {"images": images, "score_threshold": np.ones(1, np.float32), "iou_threshold": np.ones(1, np.float32)}
        wanted = session.run(names, {value.name: feed[value.name] for value in session.get_inputs()})
        with torch.no_grad():
            heads = network.eval()(scale_pixels(torch.from_numpy(images)))
        assert len(heads) == len(wanted) == 3
        for head, other in zip(heads, wanted, strict=True):
            torch.testing.assert_close(head, torch.from_numpy(other), rtol=1e-3, atol=1e-3)

    def test_unfolding_gives_the_statistics_of_the_images(self) -> None:
        torch.manual_seed(5)
        network = registry.build("yolov4-tiny", 2, input_size=(64, 64), width=0.125).eval()
        folded = {
            name: {"conv.weight": 3 * state["conv.weight"], "conv.bias": torch.full((len(state["conv.weight"]),), 0.5)}
            for name, state in Donor.of(network).layers.items()
        }
        taken = take_layers(network, Donor(folded))
        assert len(taken.folded) == 19
        images = torch.rand(8, 3, 64, 64)
        with torch.no_grad():
            before = network(images)
            unfold_norms(network, taken.folded, images)
            after = network(images)
            network.train()
            in_training = network(images)
        for one, other, third in zip(before, after, in_training, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(third, one, rtol=1e-3, atol=1e-3)

    def test_the_built_in_model(self, shapes: Path) -> None:
        config = TrainingConfig.parse({"start": "builtin", "input_size": 64})
        with log_lines() as told:
            build_network(config, open_dataset(shapes, "train"))
        assert told[0].startswith(
            "start builtin: 21 of 24 layers taken, not neck.coarse_head.predict (7x256x1x1 here, 8x"
        )

    def test_half_precision_is_taken_and_eight_bits_are_refused(
        self, tmp_path: Path, dataset: DetectionDataset, configure: Configure
    ) -> None:
        half = make_fp16(BUILTIN)
        (tmp_path / "half.onnx").write_bytes(half.SerializeToString())
        cells = replace(dataset, class_names=("Platelets", "RBC", "WBC"))
        with log_lines() as told:
            build_network(find_config("builtin").replace(start=str(tmp_path / "half.onnx"), distill=None), cells)
        assert told == [f"start {tmp_path / 'half.onnx'}: 24 of 24 layers taken"]
        quantized = read_spec(BUILTIN).model_copy(update={"precision": PrecisionSpec(kind="int8", made_from="0" * 64)})
        (tmp_path / "int8.onnx").write_bytes(with_spec(half, quantized).SerializeToString())
        with pytest.raises(WeightsError, match="expected an artifact in full or half precision, got one in 8 bits"):
            build_network(configure(start=str(tmp_path / "int8.onnx")), dataset)
        (tmp_path / "other.onnx").write_bytes(b"\x08\x07")
        with pytest.raises(ExportError, match="expected the metadata"):
            build_network(configure(start=str(tmp_path / "other.onnx")), dataset)


def test_the_published_cfg_gives_the_same_weights_as_the_name(
    oracles_dir: Path, dataset: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the order of the layers in the one case, by their names in the other."""
    weights = oracles_dir / "weights" / "yolov4-tiny" / "yolov4-tiny.weights"
    monkeypatch.setenv("YOLOSCOPE_WEIGHTS", str(weights.parent))
    cfg = str(oracles_dir / "cfg" / "yolov4-tiny.cfg")
    told: list[list[str]] = []
    states: list[dict[str, torch.Tensor]] = []
    for start in ("yolov4-tiny", [cfg, str(weights)], str(weights)):
        with log_lines() as lines:
            states.append(build_network(TrainingConfig.parse({"start": start}), dataset).state_dict())
        told.append([line.partition(": ")[2] for line in lines])
    assert told[0][0].startswith(
        "19 of 21 layers taken, not neck.coarse_head.predict (21x512x1x1 here, 255x512x1x1 there)"
    )
    assert told[0] == told[1] == told[2]
    for key, value in states[0].items():
        assert all(torch.equal(state[key], value) for state in states[1:]), key


def test_a_resumed_run_reads_no_starting_point(shapes: Path, tmp_path: Path) -> None:
    path, _ = trained(tmp_path, classes=5)
    train(quick_config(start=str(path)), shapes, tmp_path / "run")
    path.unlink()
    assert train(quick_config(start=str(path), epochs=2), shapes, tmp_path / "run", resume=True).step == 2
