"""Every layer and activation in one network, exported to ONNX and run at another batch size."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from tests.models.darknet.cfgs import HEAD_CONV, NET, YOLO, conv, section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.layer_types import LAYER_TYPES
from yoloscope.models.layers.activations import ACTIVATIONS

LAYERS = (
    conv(8, "stride=2"),
    *(section("activation", f"activation={name}") + section("batchnorm") for name in ACTIVATIONS),
    conv(8, "dilation=2", "groups=4"),
    conv(8, "share_index=0", "stride=1")
    .replace("share_index=0", "share_index=-1")
    .replace("filters=8", "filters=8\ngroups=4"),
    section("maxpool", "size=2", "stride=1"),
    section("maxpool", "size=5", "stride=1"),
    section("maxpool", "maxpool_depth=1", "out_channels=3"),
    section("local_avgpool", "size=3", "stride=1"),
    conv(8, "antialiasing=1"),
    conv(8, "xnor=1"),
    conv(8, "binary=1"),
    section("shortcut", "from=-2,-3", "weights_type=per_channel", "weights_normalization=softmax"),
    section("shortcut", "from=-4,-6"),
    section("route", "layers=-1,-2", "groups=2", "group_id=1"),
    section("reorg", "stride=2"),
    section("reorg", "stride=2", "reverse=1"),
    section("reorg3d", "stride=2"),
    section("upsample", "stride=2"),
    section("upsample", "stride=-2", "scale=2"),
    section("sam", "from=-3"),
    section("crnn", "output=8", "hidden=4", "size=3", "pad=1", "activation=tanh"),
    section("avgpool"),
    section("scale_channels", "from=-2"),
    section("implicit", "filters=8"),
    section("scale_channels", "from=-2"),
    section("dropout"),
    section("empty"),
    section("crop", "crop_width=8", "crop_height=8"),
    HEAD_CONV,
    YOLO,
    section("route", "layers=-3"),
    HEAD_CONV.replace("14", "22"),
    YOLO.replace("yolo", "Gaussian_yolo"),
    section("route", "layers=-6"),
    HEAD_CONV,
    section("region", "num=2", "classes=2", "anchors=1,1, 2,2"),
    section("route", "layers=-8"),
    section("local", "filters=4", "size=3", "stride=2"),
    section("connected", "output=48", "activation=linear"),
    section("detection", "classes=2", "side=2", "num=2"),
    section("contrastive"),
    section("cost"),
)


def test_every_layer_exports_with_a_dynamic_batch(tmp_path: Path) -> None:
    text = NET + "".join(LAYERS)
    assert all(f"[{name}]" in text for name in LAYER_TYPES)
    torch.manual_seed(0)
    network = build_darknet(text)
    path = tmp_path / "all.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(2, 3, 48, 64),),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    got = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        expected = network(images)
    for ours, theirs in zip(expected, got, strict=True):
        assert ours.shape == theirs.shape
        assert float(ours.std()) > 0
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=1e-4 * float(ours.abs().max()))
