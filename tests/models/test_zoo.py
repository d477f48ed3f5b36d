"""The list of official weights: sizes by arithmetic, the file that is at hand, losses beside the published cfgs."""

import hashlib
from pathlib import Path

import pytest
import torch

from yoloscope.models.darknet.builder import build_network
from yoloscope.models.errors import ModelNotFoundError
from yoloscope.models.layers.weight_block import weight_blocks
from yoloscope.models.registry import build, names
from yoloscope.models.zoo import COCO, OFFICIAL, VOC, OfficialWeights, official_weights
from yoloscope.training.losses import get_preset

HEADERS = {16, 20}


@pytest.mark.parametrize("official", OFFICIAL.values(), ids=lambda entry: entry.name)
def test_sizes_are_header_plus_parameters(official: OfficialWeights) -> None:
    with torch.device("meta"):
        network = build(official.network, len(official.class_names))
    parameters = sum(block.tensor.numel() for block in weight_blocks(network))
    assert official.size - 4 * parameters in HEADERS


@pytest.mark.parametrize("official", OFFICIAL.values(), ids=lambda entry: entry.name)
def test_entries_are_well_formed(official: OfficialWeights) -> None:
    assert official.network in names()
    assert official.url.startswith("https://")
    assert official.file_name == f"{official.name}.weights"
    assert official.sha256 is None or len(bytes.fromhex(official.sha256)) == 32
    assert official.recognises(official.size, official.sha256 or "any")
    assert not official.recognises(official.size + 1, official.sha256 or "any")


def test_another_sha256_is_another_file() -> None:
    official = official_weights("yolov4-tiny")
    assert not official.recognises(official.size, "0" * 64)


def test_the_file_at_hand_is_recognised(oracles_dir: Path) -> None:
    data = (oracles_dir / "weights" / "yolov4-tiny" / "yolov4-tiny.weights").read_bytes()
    assert official_weights("yolov4-tiny").recognises(len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("official", OFFICIAL.values(), ids=lambda entry: entry.name)
def test_losses_are_those_of_the_published_cfgs(oracles_dir: Path, official: OfficialWeights) -> None:
    path = oracles_dir / "cfg" / ("yolov1/yolo.cfg" if official.name == "yolov1" else f"{official.name}.cfg")
    with torch.device("meta"):
        spec = build_network(path, official.class_names).spec
    assert get_preset(None, spec.model_copy(update={"loss": official.loss})) == get_preset(None, spec)


def test_class_names_equal_darknets(oracles_dir: Path) -> None:
    assert (len(COCO), len(VOC)) == (80, 20)
    for names_of, file_name in ((COCO, "coco.names"), (VOC, "voc.names")):
        assert list(names_of) == (oracles_dir / "names" / file_name).read_text().split("\n")[: len(names_of)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ModelNotFoundError, match=r"official models yolov1, .*, got 'yolov9'"):
        official_weights("yolov9")
