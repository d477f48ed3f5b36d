import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.darknet.cfgs import HEAD_CONV, NET, YOLO, conv, detector, section
from yoloscope.models.darknet.builder import build_network
from yoloscope.models.darknet.network import DarknetNetwork
from yoloscope.models.darknet.weights import (
    WeightsHeader,
    darknet_source,
    load_backbone_weights,
    load_weights,
    save_weights,
)
from yoloscope.models.errors import WeightsError
from yoloscope.models.layers.weight_block import weight_blocks

ALL_WEIGHTED = (
    conv(4),
    conv(4),
    section("shortcut", "from=-2", "weights_type=per_channel", "weights_normalization=relu"),
    section("batchnorm"),
    conv(4, "share_index=1"),
    section("crnn", "output=4", "hidden=2", "size=3", "pad=1", "batch_normalize=1"),
    section("implicit", "filters=4"),
    section("scale_channels", "from=-2"),
    section("local", "filters=2", "size=3", "stride=8"),
    section("connected", "output=6", "batch_normalize=1"),
    section("connected", "output=56"),
)
DETECTION = section("detection", "classes=4", "side=2", "num=2")


def everything() -> DarknetNetwork:
    return build_network(NET + "".join(ALL_WEIGHTED) + DETECTION)


def counting(network: DarknetNetwork, header: WeightsHeader | None = None, extra: int = 0) -> bytes:
    """Return a file whose floats are 1, 2, 3, ..."""
    count = sum(block.tensor.numel() for block in weight_blocks(network)) + extra
    return (header or WeightsHeader()).pack() + np.arange(1, count + 1, dtype="<f4").tobytes()


def test_header_forms() -> None:
    assert WeightsHeader(0, 1, 0, 7).pack() == struct.pack("<3iI", 0, 1, 0, 7)
    assert WeightsHeader(0, 2, 5, 2**40).pack() == struct.pack("<3iQ", 0, 2, 5, 2**40)
    for header in (WeightsHeader(0, 1, 0, 7), WeightsHeader(0, 2, 0, 7), WeightsHeader(1, 0, 0, 7)):
        assert WeightsHeader.unpack(header.pack()) == header


@pytest.mark.parametrize("data", [b"", b"123", struct.pack("<3i", 0, 2, 5), b"PK\x03\x04" * 3 + b"\xff" * 8])
def test_not_a_header(data: bytes) -> None:
    with pytest.raises(WeightsError):
        load_weights(everything(), data)


@pytest.mark.parametrize("header", [WeightsHeader(0, 1, 0, 64), WeightsHeader(0, 2, 5, 32013312)])
def test_round_trip_is_byte_identical(header: WeightsHeader, tmp_path: Path) -> None:
    network = everything()
    data = counting(network, header)
    path = tmp_path / "x.weights"
    path.write_bytes(data)
    assert load_weights(network, path) == header
    assert save_weights(network, header) == data


def test_file_order_of_a_normalized_convolution_is_biases_scales_mean_variance_kernels() -> None:
    network = build_network(detector(section("convolutional", "filters=1", "batch_normalize=1")))
    load_weights(network, counting(network))
    blocks = [block.tensor.flatten().tolist() for block in weight_blocks(network)]
    assert blocks[:5] == [[1], [2], [3], [4], [5, 6, 7]]


def test_transposed_files_store_matrices_by_input() -> None:
    text = NET + section("maxpool", "size=64", "padding=16", "stride=64") + section("connected", "output=4")
    network = build_network(text + section("connected", "output=56") + DETECTION)
    header = WeightsHeader(1001, 0, 0, 3)
    data = counting(network, header)
    load_weights(network, data)
    matrix = weight_blocks(network)[1].tensor
    assert matrix[:, 0].tolist() == [5, 6, 7, 8]
    assert save_weights(network, header) == data


def test_flipped_kernels_are_stored_transposed() -> None:
    network = build_network(detector(section("convolutional", "filters=2", "flipped=1")))
    data = counting(network)
    load_weights(network, data)
    assert weight_blocks(network)[1].tensor.flatten(1).tolist() == [[3, 5, 7], [4, 6, 8]]
    assert save_weights(network) == data


@pytest.mark.parametrize("extra", [-1, 1])
def test_wrong_count_tells_both_numbers(extra: int) -> None:
    network = everything()
    count = sum(block.tensor.numel() for block in weight_blocks(network))
    expected = rf"expected {count} parameters \({20 + 4 * count} bytes\).*got {count + extra} \("
    with pytest.raises(WeightsError, match=expected):
        load_weights(network, counting(network, extra=extra))


def test_wrong_class_count_is_recognised() -> None:
    trained = build_network(
        detector(conv(), head_conv=HEAD_CONV.replace("14", "50"), head=YOLO.replace("classes=2", "classes=20"))
    )
    network = build_network(detector(conv()))
    with pytest.raises(WeightsError, match="trained for 20 classes and the cfg has 2"):
        load_weights(network, save_weights(trained))


def test_damaged_file_is_not_a_multiple_of_four() -> None:
    with pytest.raises(WeightsError, match="multiple of 4"):
        load_weights(everything(), counting(everything()) + b"x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        load_weights(everything(), tmp_path / "none.weights")


def test_backbone_fills_whole_layers_and_leaves_the_rest() -> None:
    network = build_network(detector(conv(4), conv(4)))
    backbone = build_network(detector(conv(4), head_conv=HEAD_CONV))
    first = sum(block.tensor.numel() for block in weight_blocks(network)[:5])
    data = counting(backbone)[: 20 + 4 * first]
    untouched = weight_blocks(network)[5].tensor.clone()
    header, filled = load_backbone_weights(network, data)
    assert (filled, header.minor) == (1, 2)
    assert weight_blocks(network)[0].tensor.tolist() == [1, 2, 3, 4]
    assert torch.equal(weight_blocks(network)[5].tensor, untouched)


def test_backbone_cut_by_count_ignores_the_rest() -> None:
    network = build_network(detector(conv(4), conv(4)))
    _, filled = load_backbone_weights(network, counting(network, extra=99), layers=2)
    assert filled == 2
    with pytest.raises(WeightsError, match="weights of 9 layers, got those of 3"):
        load_backbone_weights(network, counting(network), layers=9)


def test_backbone_of_another_network_is_refused() -> None:
    network = build_network(detector(conv(4), conv(4)))
    with pytest.raises(WeightsError, match="between two layers, got 3 of the"):
        load_backbone_weights(network, WeightsHeader().pack() + b"\0" * 12)
    with pytest.raises(WeightsError, match="expected at most"):
        load_backbone_weights(network, counting(network, extra=1))


def test_source_names_file_digest_and_images(tmp_path: Path) -> None:
    path = tmp_path / "x.weights"
    path.write_bytes(b"abc")
    source = darknet_source(path, WeightsHeader(seen=5), ("note",))
    assert source.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (source.kind, source.file, source.images_seen, source.notices) == ("darknet", "x.weights", 5, ("note",))
