from pathlib import Path

import pytest
import torch

from tests.models.darknet.cfgs import NET, YOLO, conv, detector, section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.network import require_complete
from yoloscope.models.errors import CfgError, ConfigError, UnsupportedLayerError
from yoloscope.models.layers.activations import Activation
from yoloscope.models.layers.convolution import ConvBlock


def test_heads_come_raw_in_file_order() -> None:
    text = detector(conv(8, "stride=2")) + section("route", "layers=0") + section("convolutional", "filters=14")
    text += "[yolo]\nmask=0,1\nanchors=4,5, 9,7\nclasses=2\nnum=2\n"
    network = build_darknet(text)
    images = torch.rand(3, 3, 48, 64)
    heads = network(images)
    assert [head.shape for head in heads] == [(3, 14, 24, 32), (3, 14, 24, 32)]
    outputs = network.layer_outputs(images)
    assert len(outputs) == 6
    assert torch.equal(outputs[1], heads[0])
    assert torch.equal(outputs[3], outputs[0])


def test_evaluation_mode_and_repeatability() -> None:
    network = build_darknet(detector(conv(), section("dropout", "probability=.5")))
    images = torch.rand(1, 3, 48, 64)
    assert not network.training
    assert torch.equal(network(images)[0], network(images)[0])


def test_gradients_reach_the_first_layer() -> None:
    network = build_darknet(detector(conv(), conv(8, "stride=2"), section("shortcut", "from=-1"))).train()
    network(torch.rand(2, 3, 48, 64))[0].sum().backward()
    weight = next(network.parameters())
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_input_size_overrides_net(tmp_path: Path) -> None:
    path = tmp_path / "mine.cfg"
    path.write_text(detector(conv(8, "stride=2")))
    network = build_darknet(path, input_size=(32, 96))
    assert network.spec.name == "mine"
    assert network(torch.rand(1, 3, 96, 32))[0].shape == (1, 14, 48, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (detector(section("convolutional", "filtres=8")), "line 6: .*no key 'filtres'; did you mean 'filters'"),
        (detector(section("convolutional", "filters=8.5")), "line 6: .*filters: expected a whole number, got '8.5'"),
        (detector(section("convolutional", "filters=0")), "line 6: .*filters: expected at least 1, got 0"),
        (detector(section("convolutional", "filters=1e999")), "line 6: .*whole number"),
        (detector(section("convolutional", "size=nan")), "line 6: .*whole number"),
        (detector(conv(8, "groups=2")), "line 11: .*groups: expected a divisor of 3 input channels"),
        (detector(section("route", "layers=-1")), "line 6: .*layers: expected a layer before layer 0, got -1"),
        (detector(section("route")), "line 5: .*layers: expected at least one layer"),
        (detector(conv(), conv(8, "stride=2"), section("route", "layers=-1,-2")), "layers: cannot join"),
        (detector(conv(), conv(9, "stride=2"), section("shortcut", "from=0")), "from: cannot join"),
        (detector(conv(), section("route", "layers=0", "groups=3")), "groups: expected a divisor of 8 channels"),
        (detector(conv(), section("route", "layers=0", "groups=2", "group_id=2")), "group_id: expected less than"),
        (detector(section("maxpool", "size=99", "padding=0")), "leaves nothing"),
        (detector(conv(9), section("reorg", "stride=2")), "stride: 9 channels of 64x48 cannot be divided by 2"),
        (detector(head=YOLO.replace("classes=2", "classes=3")), "14: set filters=16"),
        (detector(head=YOLO.replace("9,7", "9,-7")), "anchors: expected widths and heights above 0, got -7"),
        (detector(head=YOLO + "scale_x_y=0\n"), "scale_x_y: expected more than 0, got 0"),
        (detector(head=YOLO + "iou_loss=xiou\n"), "iou_loss: expected one of mse, iou, giou, diou, ciou"),
        (detector(net="[net]\nwidth=64\nheigth=48\n"), "line 3: .*'heigth'; did you mean 'height'"),
        (detector(net="[net]\nwidth=64\n"), "width and height of at least 1, got 64 and 0"),
        (NET + conv(), "expected a detector"),
        (
            detector(conv(), section("detection", "classes=2", "side=7")),
            "side: .* = 343 values expected",
        ),
    ],
)
def test_errors_name_line_and_key(text: str, message: str) -> None:
    with pytest.raises(CfgError, match=message):
        build_darknet(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (detector(section("conv_lstm")), "line 5: layer \\[conv_lstm\\] .*recurrent"),
        (detector(section("softmax")), "line 5: layer \\[softmax\\] .*classifier"),
        (detector(section("convolution")), "line 5: layer \\[convolution\\] .*no such layer"),
        (detector(section("convolutional", "activation=leeky")), "line 6: .*'leeky' is none of darknet's activations"),
        (detector(section("convolutional", "rotate=1")), "line 6: .*rotate=1 is not supported"),
        (detector(conv(3), section("shortcut", "from=0", "weights_type=per_pixel")), "weights_type"),
        (detector(conv(3), section("shortcut", "from=0", "weights_type=per_channel")), "weights_normalization"),
        (detector(section("convolutional", "size=2", "dilation=2", "pad=1")), "dilation is not supported"),
        (detector(conv(8, "share_index=0")), "share_index: expected a layer before layer 0"),
        (detector(conv(3), section("maxpool"), conv(3, "share_index=1")), "share_index is not supported"),
        (detector(section("reorg3d", "stride=2", "reverse=1")), "reverse=1 is not supported"),
        (detector() + conv(), "reads layer 1, a \\[yolo\\]"),
        (detector(section("crnn", "output=8", "size=3", "pad=0")), "size is not supported"),
    ],
)
def test_refusals_name_line_layer_and_reason(text: str, message: str) -> None:
    with pytest.raises(CfgError, match=message) as caught:
        build_darknet(text)
    assert isinstance(caught.value, UnsupportedLayerError) or "share_index: expected" in str(caught.value)


def test_wrong_number_of_class_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 2 class names as the cfg says, got 1"):
        build_darknet(detector(), class_names=["a"])


def test_missing_file_is_a_cfg_error(tmp_path: Path) -> None:
    with pytest.raises(CfgError, match="cannot read the cfg"):
        build_darknet(tmp_path / "none.cfg")


def test_inert_and_repeated_keys_are_announced_once() -> None:
    net = NET + "momentum=0.9\nangle=0\nangle=7\n"
    network = build_darknet(detector(conv(8, "stopbackward=1"), conv(8, "stopbackward=1"), net=net), ["a", "b"])
    assert network.notices == (
        "cfg line 7: [net] angle=7 repeats line 6, which counts",
        "[net] without effect on detections (training): momentum",
        "[net] without effect on detections (augmentation): angle",
        "[convolutional] without effect on detections (training): stopbackward",
    )
    assert network.spec.source is not None
    assert network.spec.source.notices == network.notices


def test_logistic_of_a_new_coords_head_is_left_to_decoding() -> None:
    head_conv = section("convolutional", "filters=14", "size=1", "activation=logistic")
    stripped = build_darknet(detector(head_conv=head_conv, head=YOLO + "new_coords=1\n"))
    assert stripped.spec.heads[0].activation == "sigmoid"
    assert _activation(stripped.layers[0]) == "linear"
    plain = build_darknet(detector(head_conv=head_conv.replace("logistic", "linear"), head=YOLO + "new_coords=1\n"))
    assert plain.spec.heads[0].activation == "none"
    shared = detector(head_conv=head_conv, head=YOLO + "new_coords=1\n") + section("route", "layers=0")
    kept = build_darknet(shared)
    assert kept.spec.heads[0].activation == "none"
    assert _activation(kept.layers[0]) == "logistic"


def test_binary_output_drops_the_activation_unless_another_layer_reads_it() -> None:
    binary = conv(8, "xnor=1", "bin_output=1")
    assert _activation(build_darknet(detector(conv(), binary)).layers[1]) == "linear"
    assert _activation(build_darknet(detector(conv(), binary, section("route", "layers=-1"))).layers[1]) == "leaky"


def test_first_frame_of_a_recurrence_is_announced() -> None:
    network = build_darknet(detector(section("crnn", "output=8", "hidden=4", "size=3", "pad=1")))
    assert any("first frame of a video" in notice for notice in network.notices)


def test_undefined_anchors_build_but_are_incomplete() -> None:
    head = "[yolo]\nmask=0,3\nanchors=4,5, 9,7, 1\nclasses=2\nnum=2\n"
    network = build_darknet(detector(head=head))
    with pytest.raises(CfgError, match=r"line 9: .*5 numbers leave anchor 3 of the mask undefined"):
        require_complete(network)
    require_complete(build_darknet(detector()))


def _activation(layer: torch.nn.Module) -> str:
    assert isinstance(layer, ConvBlock)
    assert isinstance(layer.activation, Activation)
    return layer.activation.name


def test_blanks_inside_values_and_strides_below_1_are_as_in_darknet() -> None:
    text = detector(conv(8, "stride=2", "stride_x=-1", "stride_y=0"), section("route", "layers = - 1 , 0"))
    assert [head.shape for head in build_darknet(text)(torch.rand(1, 3, 48, 64))] == [(1, 14, 24, 32)]
