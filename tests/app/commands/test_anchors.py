"""``yoloscope anchors`` as a user calls it: what it prints can be pasted."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.training.data.datasets.folders import voc_xml, write_image, write_text
from tests.training.runs import quick_config, write_shapes
from yoloscope.app.cli import build
from yoloscope.models.darknet.cfg import parse_cfg
from yoloscope.models.errors import ConfigError, DatasetError, YoloscopeError
from yoloscope.training.build import build_network
from yoloscope.training.data.datasets import open_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("anchors-command") / "data")


def anchors(*more: str) -> str:
    arguments = ["anchors", *more]
    result = CliRunner().invoke(build(arguments), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_training_fits_the_same_anchors(data: Path) -> None:
    document = json.loads(anchors("--data", str(data), "--size", "64", "--json"))
    network = build_network(quick_config(anchors="fitted"), open_dataset(data, "train"))
    assert document["anchors"] == [[round(w, 1), round(h, 1)] for w, h in network.spec.anchors_px]
    assert [head["mask"] for head in document["heads"]] == [list(head.anchor_indices) for head in network.spec.heads]
    assert [head["stride"] for head in document["heads"]] == [32, 16]
    assert document["fitted"]["mean_best_iou"] > document["published"]["mean_best_iou"]
    assert document["fitted"]["lost_objects"] == 0
    pasted = quick_config(**yaml.safe_load(document["training_configuration"]))
    assert build_network(pasted, open_dataset(data, "train")).spec.heads == network.spec.heads


@pytest.mark.parametrize(("network", "unit"), [("yolov4-tiny", 1), ("yolov2-tiny", 32)])
def test_the_lines_for_darknet_are_those_of_its_sections(data: Path, network: str, unit: int) -> None:
    arguments = ("--data", str(data), "--size", "64x64", "--network", network)
    document = json.loads(anchors(*arguments, "--json"))
    sections = parse_cfg("\n".join(["[net]", "width=64", *document["darknet_cfg"]]))[1:]
    expected = [side for anchor in document["anchors"] for side in anchor]
    for section, head in zip(sections, document["heads"], strict=True):
        numbers = [float(number) for number in section.entries["anchors"].value.split(",")]
        assert [unit * number for number in numbers] == pytest.approx(expected, abs=0.002 * unit)
        if unit == 1:
            assert section.entries["mask"].value == ",".join(map(str, head["mask"]))
    text = anchors(*arguments)
    for line in (document["training_configuration"], *document["darknet_cfg"]):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((), ConfigError, "--data: expected a data set"),
        (("--data", "DATA", "--size", "64y"), ConfigError, "--size: expected WIDTHxHEIGHT"),
        (("--data", "DATA", "--size", "100x64"), ConfigError, "an input of multiples of 32, got 100x64"),
        (("--data", "DATA", "--network", "yolov9"), ConfigError, "expected a network among"),
        (("--data", "DATA", "--network", "yolov1"), ConfigError, "got yolov1, which has none"),
        (("--data", "DATA", "--count", "7"), ConfigError, "a multiple of the 2 heads"),
        (("--data", "DATA", "--split", "test"), DatasetError, "'test'"),
        (("--data", "DATA", "--split", "val", "--count", "20"), ConfigError, "at least 20 boxes of distinct"),
    ],
)
def test_what_is_wrong_is_told(data: Path, arguments: tuple[str, ...], error: type[YoloscopeError], words: str) -> None:
    with pytest.raises(error, match=words):
        anchors(*(str(data) if argument == "DATA" else argument for argument in arguments))


def test_a_data_set_without_splits_is_taken_as_a_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.jpg")
        boxes = [("cat", (0, 0, 10 + 4 * index, 8 + number)) for index in range(6)]
        write_text(tmp_path / "annots" / f"{number}.xml", voc_xml(boxes))
    printed = anchors("--data", str(tmp_path))
    assert f"{tmp_path}: 18 objects in 3 images" in printed
    assert [record.message for record in caplog.records] == [
        f"{tmp_path} has no splits: all of its 3 images stand for train"
    ]


def test_polygons_can_be_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_text(tmp_path / "labels" / "a.txt", "0 .1 .1 .9 .1 .5 .9\n")
    write_text(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(DatasetError, match="polygons are not boxes"):
        anchors("--data", str(tmp_path), "--shapes", "refuse")
