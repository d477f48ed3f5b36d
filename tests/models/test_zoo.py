"""The list of official weights: sizes by arithmetic, the file that is at hand, anchors beside the published cfgs."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.errors import ModelNotFoundError
from yoloscope.models.layers.weight_block import weight_blocks
from yoloscope.models.registry import build, names
from yoloscope.models.zoo import COCO, OFFICIAL, VOC, OfficialWeights, official_weights
from yoloscope.models.zoo.official import correct_anchors

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
    assert official.recognizes(official.size, official.sha256 or "any")
    assert not official.recognizes(official.size + 1, official.sha256 or "any")


def test_another_sha256_is_another_file() -> None:
    official = official_weights("yolov4-tiny")
    assert not official.recognizes(official.size, "0" * 64)


def test_the_file_at_hand_is_recognized(oracles_dir: Path) -> None:
    data = (oracles_dir / "weights" / "yolov4-tiny" / "yolov4-tiny.weights").read_bytes()
    assert official_weights("yolov4-tiny").recognizes(len(data), hashlib.sha256(data).hexdigest())


def test_class_names_equal_darknets(oracles_dir: Path) -> None:
    assert (len(COCO), len(VOC)) == (80, 20)
    for names_of, file_name in ((COCO, "coco.names"), (VOC, "voc.names")):
        assert list(names_of) == (oracles_dir / "names" / file_name).read_text().split("\n")[: len(names_of)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ModelNotFoundError, match=r"official models yolov1, .*, got 'yolov9'"):
        official_weights("yolov9")


class TestTrainedAnchors:
    """yolov3-tiny: published weights trained with mask 1,2,3, published cfg with 0,1,2 (pjreddie/darknet#851)."""

    SHA256 = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
    CFG = """
[net]
width=64
height=64
[convolutional]
filters=255
size=1
stride=32
activation=linear
[yolo]
mask=3,4,5
anchors=10,14, 23,27, 37,58, 81,82, 135,169, 344,319
classes=80
num=6
[route]
layers=0
[yolo]
mask={}
anchors=10,14, 23,27, 37,58, 81,82, 135,169, 344,319
classes=80
num=6
"""

    def test_the_native_network_of_the_official_weights_has_them(self) -> None:
        with torch.device("meta"):
            spec = official_weights("yolov3-tiny").correct_anchors(build("yolov3-tiny").spec)
        assert spec.head_anchors_px(0) == ((81, 82), (135, 169), (344, 319))
        assert spec.head_anchors_px(1) == ((23, 27), (37, 58), (81, 82))

    def test_an_imported_pair_gets_them_with_a_note(self) -> None:
        spec = build_darknet(self.CFG.format("0,1,2")).spec
        corrected, notices = correct_anchors(spec, self.SHA256)
        assert corrected.head_anchors_px(1) == ((23, 27), (37, 58), (81, 82))
        (notice,) = notices
        assert "weights of yolov3-tiny were trained with mask 3,4,5 and 1,2,3, the cfg has another: corrected" in notice

    def test_a_cfg_that_has_them_and_other_weights_stay_as_they_are(self) -> None:
        published, right = (build_darknet(self.CFG.format(mask)).spec for mask in ("0,1,2", "1,2,3"))
        assert correct_anchors(right, self.SHA256) == (right, ())
        assert correct_anchors(published, "0" * 64) == (published, ())

    @pytest.mark.parametrize("official", OFFICIAL.values(), ids=lambda entry: entry.name)
    def test_all_others_have_the_anchors_and_placement_of_their_published_cfg(
        self, oracles_dir: Path, official: OfficialWeights
    ) -> None:
        path = oracles_dir / "cfg" / ("yolov1/yolo.cfg" if official.name == "yolov1" else f"{official.name}.cfg")
        with torch.device("meta"):
            cfg = build_darknet(path, official.class_names).spec
            spec = official.correct_anchors(build(official.network, len(official.class_names)).spec)
        for index in range(len(cfg.heads)):
            same = np.allclose(spec.head_anchors_px(index), cfg.head_anchors_px(index))
            assert same == ((official.name, index) != ("yolov3-tiny", 1))
        assert (spec.resize, spec.nms.beta) == (cfg.resize, cfg.nms.beta)
