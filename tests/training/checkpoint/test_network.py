"""The network of a checkpoint is the one that the run validates and exports."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import yoloscope.training.train
from tests.training.runs import Configure
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.errors import CheckpointError
from yoloscope.models.network import eval_mode
from yoloscope.training.checkpoint.files import find_checkpoint, read_checkpoint, write_checkpoint
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.evaluation.detectors import TorchDetector

EVERYTHING: dict[str, Any] = {
    "epochs": 2,
    "data": {"val": "val"},
    "anchors": "fitted",
    "freebies": {"cross_mini_batch_norm": True, "grid_sensitivity": False},
    "accumulate": 2,
    "resize": {"placement": "letterbox"},
}


@pytest.fixture
def run(shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with all that changes a network, not exported."""
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
    yoloscope.training.train.train(configure(**EVERYTHING), shapes, tmp_path / "run")
    return tmp_path / "run"


def altered(path: Path, target: Path, **changes: Any) -> Path:
    """Write a checkpoint with entries changed, None removing them."""
    state = read_checkpoint(path) | changes
    write_checkpoint({key: value for key, value in state.items() if value is not None}, target)
    return target


def test_it_detects_what_the_exported_artifact_detects(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    yoloscope.training.train.train(configure(**EVERYTHING), shapes, tmp_path)
    network = load_checkpoint_network(tmp_path)
    runtime = Runtime(tmp_path / "model.onnx", "cpu", 1)
    detector = TorchDetector(network, network.spec)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    ours, theirs = (one.detect(images, [0.001] * 2, [0.45] * 2) for one in (detector, runtime))
    for mine, exported in zip(ours, theirs, strict=True):
        assert len(mine) == len(exported) > 5
        np.testing.assert_array_equal(mine.class_ids, exported.class_ids)
        np.testing.assert_allclose(mine.scores, exported.scores, rtol=1e-4)
        np.testing.assert_allclose(mine.boxes_xyxy, exported.boxes_xyxy, atol=1e-3)
    kept = {"source", "training"}
    assert network.spec.model_dump(exclude=kept) == runtime.spec.model_dump(exclude=kept)


def test_last_holds_the_average_and_best_the_weights_of_its_step(run: Path) -> None:
    last, best = read_checkpoint(run / "last.ckpt"), read_checkpoint(run / "best.ckpt")
    for name, expected in (("last.ckpt", last["average"]["average"]), ("best.ckpt", best["network"])):
        loaded = load_checkpoint_network(run / name).state_dict()
        assert loaded.keys() == expected.keys()
        assert all(torch.equal(loaded[key], expected[key]) for key in loaded), name
    assert not all(torch.equal(last["network"][key], value) for key, value in last["average"]["average"].items())


def test_a_run_without_an_average_is_taken_as_it_is(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
    yoloscope.training.train.train(configure(ema=None), shapes, tmp_path)
    network = load_checkpoint_network(tmp_path)
    assert find_checkpoint(tmp_path).name == "last.ckpt"
    expected = read_checkpoint(tmp_path / "last.ckpt")["network"]
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
    assert not network.training


def test_the_spec_tells_of_the_training(run: Path) -> None:
    spec = load_checkpoint_network(run).spec
    assert spec.source is not None
    assert spec.training is not None
    step = read_checkpoint(run / "best.ckpt")["progress"]["step"]
    assert (spec.source.kind, spec.source.images_seen) == ("training", 6 * step)
    assert spec.training["config"]["network_options"] == {"width": 0.125}
    assert {head.scale_xy for head in spec.heads} == {1.0}


@pytest.mark.parametrize("name", ["yolov1-tiny", "yolov2-tiny"])
def test_networks_of_other_families(
    name: str, shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
    options = {"width": 0.125} if name == "yolov2-tiny" else {}
    config = configure(ema=None).replace(network=name, network_options=options)
    yoloscope.training.train.train(config, shapes, tmp_path)
    network = load_checkpoint_network(tmp_path)
    with eval_mode(network), torch.no_grad():
        heads = network(torch.zeros(1, 3, 64, 64))
    assert [tuple(head.shape) for head in heads] == [
        network.spec.head_shape(index, 1) for index in range(len(network.spec.heads))
    ]


def test_best_weights_of_early_runs_have_their_configuration_beside_them(run: Path, tmp_path: Path) -> None:
    (run / "best.ckpt").write_bytes(altered(run / "best.ckpt", tmp_path / "a.ckpt", config=None).read_bytes())
    assert load_checkpoint_network(run).spec.name == "yolov4-tiny"
    (run / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"expected a whole checkpoint at .*best\.ckpt, got .*config\.yaml"):
        load_checkpoint_network(run)


def test_what_is_wrong_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint or the folder of a run.*without best\.ckpt"):
        load_checkpoint_network(tmp_path)
    with pytest.raises(CheckpointError, match="expected a checkpoint at"):
        load_checkpoint_network(tmp_path / "none.ckpt")
    best = run / "best.ckpt"
    config = (run / "config.yaml").read_text()
    wider = config.replace("width: 0.125", "width: 0.25")
    for changes, message in (
        ({"network": None}, "KeyError: 'network'"),
        ({"spec": "{}"}, "SpecError"),
        ({"config": "network: 7"}, "ConfigError: the configuration in .*: network"),
        ({"config": "[: nonsense"}, "ParserError"),
        ({"config": wider}, "RuntimeError: .*size mismatch"),
    ):
        with pytest.raises(CheckpointError, match=f"expected a whole checkpoint at .*got {message}"):
            load_checkpoint_network(altered(best, tmp_path / "altered.ckpt", **changes))
