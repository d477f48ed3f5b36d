"""Networks of other input channels than RGB's three: gray ones, and planes of any number."""

import numpy as np
import pytest
import torch

from tests.models.darknet.cfgs import section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.weights import load_weights
from yoloscope.models.darknet.weights_header import WeightsHeader
from yoloscope.models.detector import scale_pixels
from yoloscope.models.errors import CfgError, ConfigError, ImageError
from yoloscope.models.preprocess import preprocess, preprocess_uint8, to_gray
from yoloscope.models.registry import build, names
from yoloscope.models.spec import DetectorSpec


def spec_of(channels: int, **changes: object) -> DetectorSpec:
    spec = build("yolov4-tiny", 1, input_size=(64, 32), width=0.125, channels=channels).spec
    return spec.model_copy(update=changes)


class TestSpec:
    def test_three_channels_leave_no_trace_in_the_json_and_are_the_default_of_old_files(self) -> None:
        text = spec_of(3).to_json()
        assert "input_channels" not in text
        assert DetectorSpec.from_json(text).input_channels == 3

    @pytest.mark.parametrize(("channels", "planes"), [(1, 3), (2, 2), (3, 3), (5, 5)])
    def test_images_are_rgb_for_gray_networks_and_planes_for_others(self, channels: int, planes: int) -> None:
        spec = DetectorSpec.from_json(spec_of(channels).to_json())
        assert (spec.input_channels, spec.image_planes) == (channels, planes)


class TestGray:
    @pytest.mark.parametrize(
        ("rgb", "level"),
        [
            ((255, 0, 0), 76),  # 77 * 255 = 19635, 256ths
            ((0, 255, 0), 149),  # 150 * 255 = 38250
            ((0, 0, 255), 28),  # 29 * 255 = 7395
            ((10, 20, 30), 18),  # 770 + 3000 + 870 = 4640 = 18.125 * 256
            ((255, 255, 255), 255),
        ],
    )
    def test_levels_are_those_of_stb_image(self, rgb: tuple[int, int, int], level: int) -> None:
        assert to_gray(np.array([[rgb]], np.uint8)).tolist() == [[[level] * 3]]

    def test_every_gray_level_stays_what_it_is(self) -> None:
        image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
        np.testing.assert_array_equal(to_gray(image), image)
        gray = scale_pixels(torch.from_numpy(image)[None], channels=1)
        assert torch.equal(gray.flatten(), torch.arange(256) / 255)

    def test_an_image_is_made_gray_before_it_is_resized(self) -> None:
        image = np.array([[(10, 20, 30), (0, 0, 255), (255, 0, 0)]], np.uint8)  # 18, 28, 76
        levels, _ = preprocess(image, spec_of(1, input_width=5, input_height=1))
        assert levels.tolist() == [[[level] * 3 for level in (18, 23, 28, 52, 76)]]

    def test_the_artifact_makes_rgb_gray_with_shares_of_256ths(self) -> None:
        pixels = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
        assert scale_pixels(pixels, channels=1).item() == pytest.approx(18.125 / 255, abs=1e-7)
        half = torch.tensor([[[[128, 0, 0]]]], dtype=torch.uint8)  # half a level more of red
        assert scale_pixels(pixels, half, channels=1).item() == pytest.approx((18.125 + 38.5 / 256) / 255, abs=1e-7)


class TestPlanes:
    @pytest.mark.parametrize("channels", [2, 4, 5])
    @pytest.mark.parametrize("interpolation", ["corner_aligned", "antialiased"])
    def test_every_plane_is_resized_as_a_plane_of_rgb_is(self, channels: int, interpolation: str) -> None:
        image = np.random.default_rng(0).integers(0, 256, (7, 9, channels)).astype(np.uint8)
        changes = {"resize": {"placement": "letterbox", "interpolation": interpolation, "pad_value": 127.5}}
        spec = DetectorSpec.model_validate(spec_of(channels).model_dump() | changes)
        rgb = DetectorSpec.model_validate(spec_of(3).model_dump() | changes)
        levels, placement = preprocess(image, spec)
        for plane in range(channels):
            expected, where = preprocess(np.ascontiguousarray(image[..., [plane] * 3]), rgb)
            assert placement == where
            np.testing.assert_array_equal(levels[..., plane], expected[..., 0])
        assert preprocess_uint8(image, spec)[0].shape == (32, 64, channels)

    @pytest.mark.parametrize(("channels", "planes"), [(1, 1), (4, 3), (3, 4)])
    def test_another_number_of_planes_is_refused_with_both_numbers(self, channels: int, planes: int) -> None:
        wanted = 3 if channels == 1 else channels
        with pytest.raises(
            ImageError, match=rf"expected an image of uint8 \[H, W, {wanted}\], got uint8 \[4, 4, {planes}\]"
        ):
            preprocess(np.zeros((4, 4, planes), np.uint8), spec_of(channels))


class TestDarknet:
    HEAD = section("yolo", "mask=0", "anchors=10,14", "classes=1", "num=1")

    def cfg(self, channels: int) -> str:
        net = f"[net]\nwidth=16\nheight=16\nchannels={channels}\n"
        convolution = section("convolutional", "filters=6", "size=1", "stride=8", "activation=linear")
        return net + convolution + self.HEAD

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_a_convolution_reads_as_many_planes_as_the_cfg_says(self, channels: int) -> None:
        network = build_darknet(self.cfg(channels))
        assert network.spec.input_channels == channels
        weights = np.arange(6 + 6 * channels, dtype="<f4")
        load_weights(network, WeightsHeader().pack() + weights.tobytes())
        images = torch.rand(2, channels, 16, 16)
        kernel = torch.from_numpy(weights[6:].reshape(6, channels))
        expected = torch.einsum("fc,bchw->bfhw", kernel, images[..., ::8, ::8]) + torch.arange(6.0)[None, :, None, None]
        torch.testing.assert_close(network(images)[0], expected)

    def test_no_channels_are_refused_by_line_and_key(self) -> None:
        with pytest.raises(CfgError, match=r"line 4: \[net\] channels: expected at least 1, got 0"):
            build_darknet(self.cfg(0))


class TestNative:
    @pytest.mark.parametrize("name", names())
    def test_the_first_convolution_has_the_channels_asked_for(self, name: str) -> None:
        with torch.device("meta"):
            network = build(name, channels=1)
        first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
        assert (first.in_channels, network.spec.input_channels) == (1, 1)

    def test_a_forward_pass_takes_one_plane(self) -> None:
        network = build("yolov4-tiny", 1, input_size=(64, 32), width=0.125, channels=1).eval()
        assert [tuple(head.shape) for head in network(torch.rand(1, 1, 32, 64))] == [(1, 18, 1, 2), (1, 18, 2, 4)]

    @pytest.mark.parametrize("channels", [0, 1.5, True, "gray"])
    def test_what_is_no_number_of_channels_is_refused(self, channels: float | str) -> None:
        with pytest.raises(ConfigError, match="yolov3: channels: expected a whole number of at least 1, got"):
            build("yolov3", channels=channels)
