"""Table of the section types of a darknet cfg: builder, keys and their meaning, or the reason of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from yoloscope.models.darknet import convolutions, heads, multi_input, other_layers, resampling
from yoloscope.models.darknet.keys import (
    ACTIVATION,
    AUGMENTATION,
    CONV_INERT,
    CONV_REFUSED,
    HEAD_INERT,
    LAYER_INERT,
    LOSS_KEYS,
    STREAMS,
    TRAINING,
)
from yoloscope.models.darknet.layer_plan import Builder, LayerType

NET_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "width": "of the network input",
        "height": "of the network input",
        "channels": "3: RGB, 1: gray (made of RGB), another number: planes of images",
        "letter_box": "1: images keep their aspect",
        "inputs": "0 only",
    }
)

_STRIDES = {"stride": "1 by default", "stride_x": "overrides stride", "stride_y": "overrides stride"}
_BLUR = {"antialiasing": "1: 3x3 binomial blur, 2: 2x2 mean; takes over the stride"}
_KERNEL = {
    "size": "side of the kernel",
    "stride": "1 by default",
    "pad": "1: half the kernel",
    "padding": "cells on every side where pad=0",
    "dilation": "with pad=1 and odd sizes",
    "groups": "divides input channels and filters",
    "batch_normalize": "1, or 2 (cross-iteration: the same at inference)",
}
_POOL = {**_STRIDES, "size": "stride by default", "padding": "both ends together, size-1 by default"}
_NMS = {"nms_kind": "default, greedynms (DIoU, beta 0.6) or diounms", "beta_nms": "exponent of diounms"}
_ANCHORS = {
    "anchors": "pixels of the network input",
    "mask": "the anchors of this head",
    "num": "number of anchors in the list",
    "classes": "the same in every head",
    "scale_x_y": "stretch of the center inside its cell",
    **_NMS,
}


def _loss(kind: str) -> dict[str, str]:
    return dict.fromkeys(LOSS_KEYS[kind], "carried into the loss description")


def _type(
    build: Builder,
    summary: str,
    keys: Mapping[str, str] | None = None,
    inert: Mapping[str, str] | None = None,
    refused: Mapping[str, str] | None = None,
) -> LayerType:
    return LayerType(build, summary, keys or {}, {**LAYER_INERT, **(inert or {})}, refused or {})


_CONVOLUTIONAL = _type(
    convolutions.build_convolutional,
    "convolution, grouped, dilated, binary or with shared weights",
    {
        **_KERNEL,
        **_STRIDES,
        **ACTIVATION,
        **_BLUR,
        "filters": "output channels",
        "share_index": "the layer whose weights are used",
        "xnor": "1: binary inputs and kernels",
        "binary": "1: binary kernels",
        "bin_output": "with xnor=1: no activation where only the next layer reads the output",
        "flipped": "1: the file holds the kernels transposed",
        "cbn": "1: batch_normalize=2",
    },
    {**CONV_INERT, **STREAMS},
    CONV_REFUSED,
)
_CONNECTED = _type(
    other_layers.build_connected,
    "fully connected",
    {**ACTIVATION, "output": "number of outputs", "batch_normalize": "1 to normalize"},
)
_REGION = _type(
    heads.build_region,
    "YOLOv2 and YOLO9000 head",
    {
        "anchors": "cells of the head's grid",
        "num": "number of anchors",
        "classes": "class entries",
        "coords": "4",
        "softmax": "1: softmax over the classes",
        "tree": "YOLO9000's class tree, beside the cfg or above it",
        "map": "tree nodes of another data set's classes",
        **_loss("region"),
    },
    {**HEAD_INERT, **dict.fromkeys(("absolute", "log", "mask_scale", "sqrt"), TRAINING)},
    {"background": "a class of the background, of pjreddie's darknet alone"},
)
_DETECTION = _type(
    heads.build_detection,
    "YOLOv1 head",
    {
        "side": "grid cells each way",
        "num": "boxes per cell",
        "classes": "class entries per cell",
        "coords": "4",
        "softmax": "1: softmax over the classes",
        "sqrt": "1: the network predicts square roots of width and height",
        **_loss("detection"),
    },
    {"jitter": AUGMENTATION, "max": TRAINING, "reorg": TRAINING, "resize": AUGMENTATION, "absolute": TRAINING},
)
_UNCOUNTED = {
    "map": "class numbers of training labels",
    **dict.fromkeys(("beta1", "delta_normalizer", "uc_normalizer"), TRAINING),
}

LAYER_TYPES: Mapping[str, LayerType] = MappingProxyType(
    {
        "convolutional": _CONVOLUTIONAL,
        "local": _type(
            convolutions.build_local,
            "locally connected",
            {
                **ACTIVATION,
                "filters": "output channels",
                "size": "side of the kernel",
                "stride": "1 by default",
                "pad": "cells on every side",
            },
        ),
        "connected": _CONNECTED,
        "crnn": _type(
            convolutions.build_crnn,
            "convolutional recurrence, on its first frame",
            {**_KERNEL, **ACTIVATION, "hidden": "channels of the state", "output": "channels", "xnor": "0 only"},
            {"shortcut": "adds the state, which is zero", "cbn": "read in [convolutional] only", **CONV_INERT},
        ),
        "batchnorm": _type(other_layers.build_batchnorm, "batch normalization"),
        "activation": _type(other_layers.build_activation, "activation", ACTIVATION),
        "maxpool": _type(
            resampling.build_maxpool,
            "maximum over windows, or over channels",
            {
                **_POOL,
                **_BLUR,
                "maxpool_depth": "1: over channels; size and stride have no effect",
                "out_channels": "with maxpool_depth=1",
            },
            refused={
                "maxpool_zero_nonmax": "zeros beside the maxima, written by darknet's CUDA build without cuDNN alone"
            },
        ),
        "local_avgpool": _type(resampling.build_local_avgpool, "mean over windows", _POOL),
        "avgpool": _type(resampling.build_avgpool, "mean of the whole map"),
        "upsample": _type(
            resampling.build_upsample,
            "nearest-neighbor upsampling",
            {"stride": "negative: sums of blocks", "scale": "factor on the values"},
        ),
        "reorg": _type(
            resampling.build_reorg,
            "YOLOv2's passthrough order",
            {"stride": "1 by default", "reverse": "1: depth to space"},
            refused=dict.fromkeys(("extra", "flatten"), "an order of values of pjreddie's darknet alone"),
        ),
        "reorg3d": _type(
            resampling.build_reorg3d,
            "space to depth",
            {"stride": "1 by default", "reverse": "0 only"},
            refused={"reverse": "darknet reads its buffer with the wrong channel count there"},
        ),
        "route": _type(
            multi_input.build_route,
            "concatenation",
            {"layers": "absolute, or relative if negative", "groups": "cuts every layer", "group_id": "the part taken"},
            STREAMS,
        ),
        "shortcut": _type(
            multi_input.build_shortcut,
            "sum, plain or weighted; of unequal channel counts the common ones are added",
            {
                **ACTIVATION,
                "from": "one layer or more",
                "weights_type": "per_feature (per_layer) or per_channel",
                "weights_normalization": "relu (avg_relu) or softmax",
                "weights_normalizion": "older spelling of weights_normalization",
                "alpha": "1 only",
                "beta": "1 only",
            },
            {"assisted_excitation": TRAINING},
        ),
        "sam": _type(multi_input.build_sam, "elementwise product", {**ACTIVATION, "from": "one layer"}),
        "scale_channels": _type(
            multi_input.build_scale_channels,
            "product with one factor per channel",
            {**ACTIVATION, "from": "the scaled layer", "scale_wh": "1: one factor per cell"},
        ),
        "dropout": _type(
            other_layers.build_dropout,
            "dropout; identity outside training",
            {
                "probability": "share that is dropped in training",
                "dropblock": "1: drop blocks",
                "dropblock_size_abs": "cells",
                "dropblock_size_rel": "share of the map's side",
            },
        ),
        "crop": _type(
            resampling.build_crop,
            "center crop, scaled to -1..1",
            {"crop_width": "pixels", "crop_height": "pixels", "noadjust": "1: values stay 0..1"},
            dict.fromkeys(("angle", "exposure", "flip", "saturation", "shift"), AUGMENTATION),
        ),
        "implicit": _type(
            other_layers.build_implicit,
            "learned constant",
            {"filters": "channels", "atoms": "height", "mean": "before training", "std": "before training"},
        ),
        "empty": _type(other_layers.build_empty, "passes the layer before"),
        "contrastive": _type(
            other_layers.build_training_only,
            "a loss of training; left out",
            inert=dict.fromkeys(
                (
                    "classes",
                    "cls_normalizer",
                    "contrastive_neg_max",
                    "max_delta",
                    "steps",
                    "temperature",
                    "yolo_layer",
                    "max_boxes",
                    "max",
                ),
                TRAINING,
            ),
        ),
        "cost": _type(
            other_layers.build_training_only,
            "a loss of training; left out",
            inert=dict.fromkeys(("type", "scale", "ratio", "noobj", "thresh"), TRAINING),
        ),
        "yolo": _type(
            heads.build_yolo,
            "YOLOv3, v4 and v7 head",
            {**_ANCHORS, "new_coords": "1: boxes from logistic outputs", **_loss("yolo")},
            {**HEAD_INERT, **_UNCOUNTED},
        ),
        "Gaussian_yolo": _type(
            heads.build_gaussian_yolo,
            "Gaussian YOLOv3 head",
            {**_ANCHORS, "yolo_point": "center"},
            {**HEAD_INERT, **_UNCOUNTED, **dict.fromkeys(LOSS_KEYS["yolo"], TRAINING)},
        ),
        "region": _REGION,
        "detection": _DETECTION,
    }
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "avg": "avgpool",
        "conn": "connected",
        "conv": "convolutional",
        "local_avg": "local_avgpool",
        "max": "maxpool",
        "silence": "empty",
    }
)

_RECURRENT = "recurrent: it needs the frames before, and images are taken one by one"
REFUSED_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "conv_lstm": _RECURRENT,
        "history": _RECURRENT,
        "gru": _RECURRENT,
        "lstm": _RECURRENT,
        "rnn": _RECURRENT,
        "deconvolutional": "darknet's parser itself no longer builds it",
        "deconv": "darknet's parser itself no longer builds it",
        "normalization": "local response normalization occurs in classifiers only",
        "lrn": "local response normalization occurs in classifiers only",
        "iseg": "the output of a segmentation",
        "l2norm": "of pjreddie's darknet alone",
        "logistic": "the output of a classifier, not of a detector",
        "softmax": "the output of a classifier, not of a detector",
        "soft": "the output of a classifier, not of a detector",
    }
)
