"""Label Studio: tasks of findings, labeling configurations and regions.

Where label-studio-sdk is installed it judges the tasks and configurations too.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.training.diagnostics.reports import FINDINGS, HOSTILE, HOSTILE_FILE, open_pets, report_of
from yoloscope.models.errors import LabelError
from yoloscope.training.diagnostics.exchange.label_studio import (
    LabelingConfig,
    class_names_in,
    label_regions,
    read_regions,
    region,
    to_label_studio,
)

CONFIG = LabelingConfig.of_classes(("cat", "dog"))
SDK = importlib.util.find_spec("label_studio_sdk") is not None


def tasks(root: Path) -> list[dict[str, Any]]:
    report, dataset = report_of(), open_pets(root)
    return list(to_label_studio(report, dataset, LabelingConfig.of_classes(class_names_in(report, dataset))))


def require_regions(entry: dict[str, Any]) -> None:
    """The documented form of a rectangle: names of the configuration, one of its labels, in percent of the image."""
    assert entry["result"]
    for part in entry["result"]:
        assert (part["from_name"], part["to_name"], part["type"]) == ("label", "image", "rectanglelabels")
        value = part["value"]
        assert set(value["rectanglelabels"]) <= set(CONFIG.labels)
        assert 0 <= value["x"] <= value["x"] + value["width"] <= 100
        assert 0 <= value["y"] <= value["y"] + value["height"] <= 100


class TestTasks:
    def test_an_image_with_findings_is_a_task(self, tmp_path: Path) -> None:
        first, second = tasks(tmp_path)
        assert first["data"] == {
            "image": "/data/local-files/?d=images/a.png",
            "probability": 0.97,
            "findings": [
                "missing (0.97): the model is sure",
                "class, label 1 (0.90): the model is sure",
                "location, label 0 (0.70): the model is sure",
            ],
        }
        assert second["data"]["image"] == "/data/local-files/?d=images/%3Cb%3E%26%22c%27.png"

    def test_findings_are_a_prediction_in_percent_of_the_image(self, tmp_path: Path) -> None:
        (prediction,) = tasks(tmp_path)[0]["predictions"]
        assert (prediction["model_version"], prediction["score"]) == ("builtin abc", 0.97)
        assert prediction["result"][1] == {
            "id": "finding-1",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": 40,
            "original_height": 30,
            "image_rotation": 0,
            "value": {"x": 50, "y": 50, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]},
            "score": 0.9,
            "meta": {"text": ["class, label 1 (0.90): the model is sure"]},
        }

    def test_labels_are_an_annotation_and_a_spurious_one_is_predicted_as_it_stands(self, tmp_path: Path) -> None:
        first, second = tasks(tmp_path)
        (annotation,) = first["annotations"]
        assert [entry["value"]["rectanglelabels"] for entry in annotation["result"]] == [["cat"], ["dog"]]
        assert second["predictions"][0]["result"][0]["value"]["rectanglelabels"] == [HOSTILE]
        assert second["predictions"][0]["result"][0]["meta"]["text"][0].startswith("spurious, label 0 (0.80)")

    def test_label_studio_takes_configuration_and_tasks(self, tmp_path: Path) -> None:
        report = report_of([one for one in FINDINGS if one.image != HOSTILE_FILE])
        for task in to_label_studio(report, open_pets(tmp_path), CONFIG):
            for entry in (*task["annotations"], *task["predictions"]):
                require_regions(entry)
                if SDK:
                    interface = importlib.import_module("label_studio_sdk.label_interface")
                    checked = interface.LabelInterface(CONFIG.to_xml())
                    checked.validate()
                    kind = "prediction" if "model_version" in entry else "annotation"
                    assert getattr(checked, f"validate_{kind}")(entry)


class TestConfig:
    def test_a_configuration_is_read_back_with_hostile_labels(self) -> None:
        config = LabelingConfig.of_classes(("cat", HOSTILE, 'a "b"'))
        assert LabelingConfig.parse(config.to_xml()) == config

    def test_rectangles_are_found_among_other_controls(self) -> None:
        text = (
            '<View><Header value="x"/><Text name="t" value="$text"/><RectangleLabels name="r" toName="t"/>'
            '<Image name="img" value="$photo"/><View><RectangleLabels name="boxes" toName="img">'
            '<Label value="RBC" background="red"/></RectangleLabels></View></View>'
        )
        assert LabelingConfig.parse(text) == LabelingConfig("boxes", "img", "photo", ("RBC",))

    @pytest.mark.parametrize(
        "text", ["", "<View/>", '<View><Image name="i" value="$i"/></View>', "<!DOCTYPE a><View/>"]
    )
    def test_another_configuration_is_refused(self, text: str) -> None:
        with pytest.raises(LabelError):
            LabelingConfig.parse(text)


class TestRegions:
    def test_regions_are_read_back_as_pixels(self, tmp_path: Path) -> None:
        image = next(image for image in open_pets(tmp_path).images if image.path.name == "a.png")
        regions = label_regions(image.labels, CONFIG)
        found = read_regions([*regions, {"from_name": "other", "value": {}}], CONFIG, (40, 30))
        assert [name for name, _ in found] == ["cat", "dog"]
        assert found[0][1] == pytest.approx((5, 5, 10, 10), abs=1e-6)
        assert found[1][1] == pytest.approx((20, 15, 40, 30), abs=1e-6)

    def test_a_box_over_the_edge_is_cut_off_there(self) -> None:
        value = region("a", "cat", (-10, 15, 50, 40), (40, 30), CONFIG)["value"]
        assert (value["x"], value["y"], value["width"], value["height"]) == (0, 50, 100, 50)

    def test_a_rotated_rectangle_is_read_as_the_box_around_it(self) -> None:
        # 10x5 pixels at (20, 10), turned by 90 degrees about its corner: 5 to the left, 10 down
        entry = region("a", "cat", (20, 10, 30, 15), (40, 20), CONFIG)
        entry["value"]["rotation"] = 90
        ((_, box),) = read_regions([entry], CONFIG, (40, 20))
        assert box == pytest.approx((15, 10, 20, 20))

    @pytest.mark.parametrize(
        "value",
        [
            None,
            {},
            {"x": 1, "y": 1, "width": 5, "height": "5", "rectanglelabels": ["cat"]},
            {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": []},
            {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["cat"], "rotation": "up"},
        ],
    )
    def test_a_region_that_is_none_is_named(self, value: object) -> None:
        with pytest.raises(LabelError, match="/result/0/value: expected x, y, width, height in percent"):
            read_regions([{"from_name": "label", "value": value}], CONFIG, (40, 30))

    def test_a_result_that_is_no_list_is_refused(self) -> None:
        with pytest.raises(LabelError, match="expected a list of regions, got 3"):
            read_regions(3, CONFIG, (40, 30))
