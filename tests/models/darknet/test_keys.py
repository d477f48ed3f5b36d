"""Keys that darknet's parsers ask for: inert ones build with a notice, those with an effect build or are refused."""

import pytest
import torch

from tests.models.darknet.cfgs import HEAD_CONV, NET, conv, detector, section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.network import require_complete
from yoloscope.models.errors import CfgError, UnsupportedLayerError
from yoloscope.models.layers.weight_block import weight_blocks


class TestInert:
    @pytest.mark.parametrize(
        "key", ["badlabels_rejection_percentage", "num_sigmas_reject_badlabels", "notruth", "clip", "ema_alpha"]
    )
    def test_keys_of_net(self, key: str) -> None:
        notices = build_darknet(detector(conv(8, "stride=2"), net=NET + f"{key}=0.2\n")).notices
        assert f"[net] without effect on detections (training): {key}" in notices

    @pytest.mark.parametrize("misspelt", ["badlabels_reject_percentage", "badlabels_rejection_threshold"])
    def test_names_that_no_darknet_has_are_unknown_and_the_right_one_is_proposed(self, misspelt: str) -> None:
        with pytest.raises(CfgError, match=f"no key '{misspelt}'; did you mean 'badlabels_rejection_percentage'"):
            build_darknet(detector(net=NET + f"{misspelt}=0.2\n"))

    @pytest.mark.parametrize("key", ["stream", "wait_stream"])
    def test_streams_of_convolutions_and_routes(self, key: str) -> None:
        text = detector(conv(8, "stride=2", f"{key}=1"), section("route", "layers=0", f"{key}=1"))
        notices = build_darknet(text).notices
        assert f"[convolutional] without effect on detections (how darknet runs): {key}" in notices
        assert f"[route] without effect on detections (how darknet runs): {key}" in notices

    @pytest.mark.parametrize("key", ["reverse", "truth", "smooth"])
    def test_keys_of_convolutions_for_training(self, key: str) -> None:
        notices = build_darknet(detector(conv(8, "stride=2", f"{key}=1"))).notices
        assert f"[convolutional] without effect on detections (training): {key}" in notices


class TestEffective:
    def test_cbn_normalizes_and_so_has_statistics_in_the_weights_file(self) -> None:
        layer = section("convolutional", "filters=8", "size=1", "stride=2", "cbn=1")
        blocks = weight_blocks(build_darknet(detector(layer)).layers[0])
        assert [block.role for block in blocks] == ["biases", "scales", "mean", "variance", "weights"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (detector(conv(8, "coordconv=1")), r"\[convolutional\] coordconv=1 is not supported: coordinates"),
            (detector(section("maxpool", "size=2", "maxpool_zero_nonmax=1")), "maxpool_zero_nonmax=1 is not supported"),
            (detector(conv(8), section("reorg", "stride=2", "flatten=1")), "flatten=1 is not supported"),
            (detector(conv(8), section("reorg", "stride=2", "extra=4")), "extra=4 is not supported"),
            (
                detector(conv(3), section("shortcut", "from=0", "beta=.5")),
                "beta is not supported: .*expected 1, got 0.5",
            ),
            (
                detector(head="[region]\nclasses=2\nnum=2\nanchors=1,1,2,2\nbackground=1\n"),
                "background=1 is not supported",
            ),
            (detector(section("iseg", "classes=2")), r"layer \[iseg\] is not supported"),
        ],
    )
    def test_what_changes_detections_and_is_not_computed_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(UnsupportedLayerError, match=message):
            build_darknet(text)

    def test_their_defaults_are_accepted(self) -> None:
        pool = section("maxpool", "size=2", "stride=2", "maxpool_zero_nonmax=0")
        layer = conv(8, "coordconv=0", "reverse=0")
        network = build_darknet(detector(layer, pool, section("shortcut", "from=-1", "alpha=1", "beta=1")))
        assert network(torch.zeros(1, 3, 48, 64))[0].shape == (1, 14, 24, 32)


class TestAnchors:
    HEAD = "[yolo]\nmask=0,1\nanchors={}\nclasses=2\nnum={}\n"

    @pytest.mark.parametrize("anchors", ["4,5", "4,5,9"])
    def test_too_few_cannot_be_decoded_and_the_message_has_the_cure(self, anchors: str) -> None:
        network = build_darknet(detector(head=self.HEAD.format(anchors, 2)))
        count = anchors.count(",") + 1
        expected = f"anchors: {count} numbers leave anchor 1 of the mask undefined .* give 4 numbers and num=2"
        with pytest.raises(CfgError, match=expected):
            require_complete(network)

    @pytest.mark.parametrize(
        "head", ["[yolo]\nmask=0,1\nclasses=2\nnum=2\n", "[region]\nclasses=2\nnum=2\ncoords=4\nsoftmax=1\n"]
    )
    def test_none_at_all_cannot_be_decoded_either(self, head: str) -> None:
        with pytest.raises(CfgError, match="anchors: 0 numbers leave anchor 1 of the mask undefined"):
            require_complete(build_darknet(detector(head=head)))

    @pytest.mark.parametrize("anchors", ["4,5, 9,7, 20,30", "4,5, 9,7, 20"])
    def test_too_many_are_noted(self, anchors: str) -> None:
        network = build_darknet(detector(head=self.HEAD.format(anchors, 2)))
        require_complete(network)
        count = anchors.count(",") + 1
        assert any(
            f"anchors: {count} numbers where num=2 needs 4; the rest is not used" in one for one in network.notices
        )
        assert network.spec.anchors_px == ((4, 5), (9, 7))

    def test_anchors_that_only_other_heads_use_need_not_be_given(self) -> None:
        first = "[yolo]\nmask=0\nanchors=4,5\nclasses=2\nnum=2\n"
        head_conv = HEAD_CONV.replace("filters=14", "filters=7")
        network = build_darknet(detector(head_conv=head_conv, head=first))
        require_complete(network)
        assert not any("anchors" in notice for notice in network.notices)
