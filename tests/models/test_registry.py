"""Building networks by name: defaults, the user's own classes, anchors and sizes, refusals."""

import re
from typing import Any

import pytest
import torch

from yoloscope.models.errors import ConfigError
from yoloscope.models.registry import build, names, options
from yoloscope.models.spec import DetectorSpec

SIDES = {"yolov1": 448, "yolov1-tiny": 448, "yolov3-spp": 608, "yolov4": 608, "yolov4-csp": 512}


def spec_of(name: str, *args: Any, **kwargs: Any) -> DetectorSpec:
    """Build on the meta device, where weights take neither memory nor time."""
    with torch.device("meta"):
        return build(name, *args, **kwargs).spec


@pytest.mark.parametrize("name", names())
def test_defaults(name: str) -> None:
    spec = spec_of(name)
    assert spec.name == name
    assert spec.class_names == tuple(f"class_{index}" for index in range(80))
    assert (spec.input_width, spec.input_height) == (SIDES.get(name, 416),) * 2
    assert spec.family == name[4:6]
    assert spec.loss.preset.startswith(spec.family)
    assert spec.nms.beta == (0.6 if spec.family == "v4" else None)
    assert DetectorSpec.from_json(spec.to_json()) == spec


def test_own_anchors_are_shared_out_by_size() -> None:
    own = [(float(side), float(side)) for side in (60, 10, 40, 20, 50, 30)]
    spec = spec_of("yolov4-tiny", 3, own, (320, 256))
    assert spec.anchors_px == tuple((float(side), float(side)) for side in (10, 20, 30, 40, 50, 60))
    assert [head.anchor_indices for head in spec.heads] == [(3, 4, 5), (0, 1, 2)]
    assert [spec.head_stride(index) for index in range(2)] == [(32, 32), (16, 16)]
    assert spec.head_shape(0, 1) == (1, 3 * (5 + 3), 8, 10)


def test_other_numbers_of_anchors_change_the_heads() -> None:
    spec = spec_of("yolov3", 2, [(float(side), float(side)) for side in range(10, 16)])
    assert [head.num_anchors for head in spec.heads] == [2, 2, 2]
    assert spec_of("yolov2", 2, [(20.0, 20.0)] * 7).head_shape(0, 1)[1] == 7 * 7


def test_class_names_are_taken() -> None:
    assert spec_of("yolov2-tiny", 2, class_names=["cat", "dog"]).class_names == ("cat", "dog")


def test_v1_is_linear_as_in_darknet_or_logistic_as_in_the_formulas() -> None:
    linear, logistic = (spec_of("yolov1-tiny", 20, logistic=choice) for choice in (False, True))
    assert (linear.heads[0].activation, linear.heads[0].sqrt_wh, linear.loss.preset) == ("none", True, "v1-darknet")
    assert (logistic.heads[0].activation, logistic.heads[0].sqrt_wh, logistic.loss.preset) == ("sigmoid", False, "v1")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("yolov5", {}, "expected a network among yolov1, .*, got 'yolov5'"),
        ("yolov3", {"width": 0.5}, "yolov3: expected options among none, got width"),
        ("yolov4", {"spam": 1, "sam": True}, "yolov4: expected options among .*sam.*, got spam"),
        ("yolov3", {"num_classes": 0}, "at least one class, got 0"),
        ("yolov3", {"num_classes": 2, "class_names": ["a"]}, "expected 2 class names, got 1"),
        ("yolov3", {"input_size": (416, 400)}, re.escape("multiples of 32, got 416x400")),
        ("yolov1", {"input_size": (416, 448)}, re.escape("multiples of 64, got 416x448")),
        ("yolov4-tiny", {"input_size": (0, 32)}, re.escape("multiples of 32, got 0x32")),
        ("yolov1", {"anchors": [(1.0, 1.0)]}, "expected no anchors, got 1"),
        ("yolov4", {"anchors": [(1.0, 1.0)] * 4}, "for each of 3 heads, got 4"),
        ("yolov4", {"backbone_activation": "wish"}, "expected an activation among"),
        ("yolov4", {"backbone_activation": 3.0}, "backbone_activation: expected a word, got 3.0"),
        ("yolov4-tiny", {"width": "x"}, "yolov4-tiny: width: expected a positive finite number, got 'x'"),
        ("yolov4-tiny", {"width": -1.0}, r"positive finite number, got -1\.0"),
        ("yolov4-tiny", {"width": 0.0}, r"positive finite number, got 0\.0"),
        ("yolov4-tiny", {"width": float("nan")}, "positive finite number, got nan"),
        ("yolov3-tiny", {"width": True}, "positive finite number, got True"),
        ("yolov4", {"csp": "no"}, "yolov4: csp: expected true or false, got 'no'"),
        ("yolov4", {"csp": 1.0}, "csp: expected true or false, got 1.0"),
        ("yolov4", {"dropblock": 1.0}, "dropblock: expected a probability in 0..1, 1 excluded, got 1.0"),
        ("yolov1", {"boxes_per_cell": 2.5}, "boxes_per_cell: expected a whole number of at least 1, got 2.5"),
        ("yolov1", {"boxes_per_cell": 0.0}, "boxes_per_cell: expected a whole number of at least 1, got 0.0"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec_of(name, **arguments)


def test_options_are_taken_as_a_configuration_gives_them() -> None:
    assert spec_of("yolov1-tiny", 20, boxes_per_cell=4.0).heads[0].boxes_per_cell == 4
    assert spec_of("yolov4", 2, dropblock=0.0, width=1, csp=False).name == "yolov4"


def test_options_are_told() -> None:
    assert options("yolov3") == ()
    assert options("yolov4-tiny") == ("width", "spp", "third_head")
    assert "dropblock" in options("yolov4")
