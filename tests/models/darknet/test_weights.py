import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.darknet.cfgs import HEAD_CONV, NET, YOLO, conv, detector, section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.network import DarknetNetwork
from yoloscope.models.darknet.weights import darknet_source, load_backbone_weights, load_weights, save_weights
from yoloscope.models.darknet.weights_header import WeightsHeader
from yoloscope.models.errors import CfgError, WeightsError
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
    return build_darknet(NET + "".join(ALL_WEIGHTED) + DETECTION)


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
    network = build_darknet(detector(section("convolutional", "filters=1", "batch_normalize=1")))
    load_weights(network, counting(network))
    blocks = [block.tensor.flatten().tolist() for block in weight_blocks(network)]
    assert blocks[:5] == [[1], [2], [3], [4], [5, 6, 7]]


def test_transposed_files_store_matrices_by_input() -> None:
    text = NET + section("maxpool", "size=64", "padding=16", "stride=64") + section("connected", "output=4")
    network = build_darknet(text + section("connected", "output=56") + DETECTION)
    header = WeightsHeader(1001, 0, 0, 3)
    data = counting(network, header)
    load_weights(network, data)
    matrix = weight_blocks(network)[1].tensor
    assert matrix[:, 0].tolist() == [5, 6, 7, 8]
    assert save_weights(network, header) == data


def test_flipped_kernels_are_stored_transposed() -> None:
    network = build_darknet(detector(section("convolutional", "filters=2", "flipped=1")))
    data = counting(network)
    load_weights(network, data)
    assert weight_blocks(network)[1].tensor.flatten(1).tolist() == [[3, 5, 7], [4, 6, 8]]
    assert save_weights(network) == data


@pytest.mark.parametrize("extra", [-2, 1])
def test_wrong_count_tells_both_numbers(extra: int) -> None:
    network = everything()
    count = sum(block.tensor.numel() for block in weight_blocks(network))
    expected = rf"expected {count} parameters \({20 + 4 * count} bytes\).*got {count + extra} \("
    with pytest.raises(WeightsError, match=expected):
        load_weights(network, counting(network, extra=extra))


def test_wrong_class_count_is_recognized() -> None:
    trained = build_darknet(
        detector(conv(), head_conv=HEAD_CONV.replace("14", "50"), head=YOLO.replace("classes=2", "classes=20"))
    )
    network = build_darknet(detector(conv()))
    with pytest.raises(WeightsError, match="trained for 20 classes and the cfg has 2"):
        load_weights(network, save_weights(trained))


def test_wrong_channels_are_recognized() -> None:
    """42 parameters more are those of 7 classes more, and those of two channels more."""
    cfg = """[net]
width=64
height=64
channels={}

[convolutional]
filters=21
activation=linear

[yolo]
mask=0,1,2
anchors=10,14,23,27,37,58
classes=2
num=3
"""
    expected = "trained for 9 classes and the cfg has 2, or with channels=3 and the cfg has 1"
    with pytest.raises(WeightsError, match=expected):
        load_weights(build_darknet(cfg.format(1)), save_weights(build_darknet(cfg.format(3))))


def test_damaged_file_is_not_a_multiple_of_four() -> None:
    with pytest.raises(WeightsError, match="multiple of 4"):
        load_weights(everything(), counting(everything()) + b"x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        load_weights(everything(), tmp_path / "none.weights")


def test_backbone_fills_whole_layers_and_leaves_the_rest() -> None:
    network = build_darknet(detector(conv(4), conv(4)))
    backbone = build_darknet(detector(conv(4), head_conv=HEAD_CONV))
    first = sum(block.tensor.numel() for block in weight_blocks(network)[:5])
    data = counting(backbone)[: 20 + 4 * first]
    untouched = weight_blocks(network)[5].tensor.clone()
    header, filled = load_backbone_weights(network, data)
    assert (filled, header.minor) == (1, 2)
    assert weight_blocks(network)[0].tensor.tolist() == [1, 2, 3, 4]
    assert torch.equal(weight_blocks(network)[5].tensor, untouched)


def test_backbone_cut_by_count_ignores_the_rest() -> None:
    network = build_darknet(detector(conv(4), conv(4)))
    _, filled = load_backbone_weights(network, counting(network, extra=99), layers=2)
    assert filled == 2
    with pytest.raises(WeightsError, match="weights of 9 layers, got those of 3"):
        load_backbone_weights(network, counting(network), layers=9)


def test_backbone_of_another_network_is_refused() -> None:
    network = build_darknet(detector(conv(4), conv(4)))
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


class TestHeadersOfThirdParties:
    """Savers that write version 0.0 with the count of version 0.2, or 0.2 with that of before."""

    @pytest.mark.parametrize(("minor", "bits", "form"), [(0, 64, "<3iQ"), (2, 32, "<3iI"), (1, 64, "<3iQ")])
    def test_the_length_of_the_file_tells_that_of_the_count(self, minor: int, bits: int, form: str) -> None:
        network = build_darknet(detector(conv(8, "stride=2")))
        floats = counting(network)[20:]
        data = struct.pack(form, 0, minor, 5, 77) + floats
        header = load_weights(network, data)
        assert (header.minor, header.count_bits, header.seen) == (minor, bits, 77)
        assert weight_blocks(network)[0].tensor.tolist() == list(range(1, 9))
        (notice,) = header.notices
        assert f"has version 0.{minor} and a count of images of {bits} bits, where darknet has {96 - bits}" in notice
        assert save_weights(network, header) == data

    @pytest.mark.parametrize("header", [WeightsHeader(0, 1, 0, 64), WeightsHeader(0, 2, 5, 64)])
    def test_darknets_own_need_no_note(self, header: WeightsHeader) -> None:
        network = everything()
        assert load_weights(network, counting(network, header)).notices == ()

    def test_two_floats_too_many_are_no_header(self) -> None:
        network = everything()
        with pytest.raises(WeightsError, match="expected"):
            load_weights(network, counting(network, WeightsHeader(0, 0, 0, 1), extra=2))


class TestFilesOfOtherKinds:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_weights_that_are_not_finite_are_counted_and_located(self, value: float) -> None:
        network = build_darknet(detector(conv(8, "stride=2")))
        floats = np.ones(sum(block.tensor.numel() for block in weight_blocks(network)), "<f4")
        floats[8:10] = value  # the scales of the first convolution, behind its eight biases
        expected = f"got 2 of {len(floats)} that are NaN or infinite, the first among the scales of layer 0"
        with pytest.raises(WeightsError, match=expected):
            load_weights(network, WeightsHeader().pack() + floats.tobytes())
        floats[8:10], floats[-1] = 1, value
        with pytest.raises(WeightsError, match="among the weights of layer 1"):
            load_weights(network, WeightsHeader().pack() + floats.tobytes())

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "a Git LFS pointer.*git lfs pull"),
            (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
            (b"\n  <HTML lang=en>", "a web page"),
            (b"[net]\nwidth=416\n", "a cfg: the cfg comes first and the weights second"),
            (b"# my network\n[network]\nwidth=416\n", "a cfg"),
            (b"PK\x03\x04" + bytes(60), "a zip archive, as PyTorch"),
            (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
            (b"cat\ndog\n", "a text file"),
            (b"", "an empty file"),
        ],
    )
    def test_they_are_named(self, head: bytes, kind: str) -> None:
        with pytest.raises(WeightsError, match=f"expected a darknet .weights file, got {kind}"):
            load_weights(everything(), head)

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (WeightsHeader().pack() + bytes(100), "a binary file, as the weights are: the cfg comes first"),
            (b"<html><body>404</body></html>", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
            (b"PK\x03\x04" + bytes(60), "a zip archive"),
            (b"", "an empty file"),
        ],
    )
    def test_given_as_a_cfg_too(self, content: bytes, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "x.cfg"
        path.write_bytes(content)
        with pytest.raises(CfgError, match=f"expected a darknet cfg, got {kind}"):
            build_darknet(path)
