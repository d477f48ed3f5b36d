"""Keys of a cfg that several sections share: of the loss, without effect on detections, or refused.

They are those that src/parser.c of pjreddie's and of AlexeyAB's darknet ask for. The keys of heads that describe the
loss are carried into LossSpec under their darknet names with the parser's defaults, absent ones too: the loss presets
have other defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from yoloscope.models.darknet.layer_plan import HeadPlan
from yoloscope.models.darknet.options import Options

LossValue = float | int | str | None

_OVERLAPS = ("iou", "giou", "diou", "ciou")
_CHOICES = {"iou_loss": ("mse", *_OVERLAPS), "iou_thresh_kind": _OVERLAPS}
_SCALES: dict[str, LossValue] = {
    "object_scale": 1.0,
    "noobject_scale": 1.0,
    "class_scale": 1.0,
    "coord_scale": 1.0,
    "rescore": 0,
}

LOSS_KEYS: Mapping[str, Mapping[str, LossValue]] = MappingProxyType(
    {
        "yolo": {
            "ignore_thresh": 0.5,
            "truth_thresh": 1.0,
            "iou_thresh": 1.0,
            "iou_thresh_kind": "iou",
            "iou_loss": "mse",
            "iou_normalizer": 0.75,
            "obj_normalizer": 1.0,
            "cls_normalizer": 1.0,
            "max_delta": None,
            "label_smooth_eps": 0.0,
            "focal_loss": 0,
            "objectness_smooth": 0,
        },
        "gaussian_yolo": {},
        "region": {**_SCALES, "thresh": 0.5, "bias_match": 0, "classfix": 0, "focal_loss": 0},
        "detection": {**_SCALES, "forced": 0, "random": 0},
    }
)


def loss_options(options: Options, kind: str) -> dict[str, LossValue]:
    """Return the loss keys of a head, given or default."""
    return {key: _value(options, key, default) for key, default in LOSS_KEYS[kind].items()}


def _value(options: Options, key: str, default: LossValue) -> LossValue:
    if not options.has(key):
        return default
    if isinstance(default, int):
        return options.integer(key, default)
    if not isinstance(default, str):
        return options.number(key, 0.0)
    text = options.text(key, default)
    if text not in _CHOICES[key]:
        options.fail(key, f"expected one of {', '.join(_CHOICES[key])}, got {text!r}")
    return text


def loss_by_head(plans: Sequence[HeadPlan]) -> dict[str, object]:
    """Return the loss keys of all heads: one value where they agree, else a tuple with one value per head."""
    keys = dict.fromkeys(key for plan in plans for key in plan.loss)
    return {key: _merged([plan.loss.get(key) for plan in plans]) for key in keys}


def _merged(values: list[object]) -> object:
    return values[0] if all(value == values[0] for value in values) else tuple(values)


TRAINING = "training"
AUGMENTATION = "augmentation"
RUNTIME = "how darknet runs"
VIDEO = "tracking in videos"
LOADING = "which weights training starts from"

ACTIVATION = {"activation": "an activation of the table below"}

LAYER_INERT = {
    "burnin_update": TRAINING,
    "clip": TRAINING,
    "dont_update": TRAINING,
    "dontload": LOADING,
    "dontloadscales": LOADING,
    "dontsave": LOADING,
    "keep_delta_gpu": RUNTIME,
    "learning_rate": TRAINING,
    "learning_rate_scale": TRAINING,
    "numload": LOADING,
    "onlyforward": TRAINING,
    "smooth": TRAINING,
    "stopbackward": TRAINING,
    "train_only_bn": TRAINING,
    "truth": TRAINING,
}

STREAMS = {"stream": RUNTIME, "wait_stream": RUNTIME}

CONV_INERT = {
    "angle": "angle of rotated kernels, which are refused",
    "assisted_excitation": TRAINING,
    "dot": TRAINING,
    "grad_centr": TRAINING,
    "receptive_field": RUNTIME,
    "reverse": TRAINING,
}

CONV_REFUSED = {
    **dict.fromkeys(
        ("rotate", "stretch", "stretch_sway", "sway"),
        "kernels deformed during the run, computed by darknet's CUDA build alone",
    ),
    "coordconv": "coordinates written over some channels, by darknet's CUDA build alone",
}

HEAD_INERT = {
    "classes_multipliers": TRAINING,
    "counters_per_class": TRAINING,
    "dets_for_show": VIDEO,
    "dets_for_track": VIDEO,
    "embedding_layer": VIDEO,
    "jitter": AUGMENTATION,
    "max": "most labels per image in training",
    "random": AUGMENTATION,
    "resize": AUGMENTATION,
    "show_details": RUNTIME,
    "sim_thresh": VIDEO,
    "track_ciou_norm": VIDEO,
    "track_history_size": VIDEO,
}


def _keys(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


NET_INERT = {
    **_keys(
        TRAINING,
        "B1 B2 adam adversarial_lr attention badlabels_rejection_percentage batch burn_in clip "
        "contrastive decay dynamic_minibatch ema_alpha eps equidistant_point gamma init_sequential_subdivisions "
        "label_smooth_eps learning_rate learning_rate_min loss_scale lr_decay lr_min max_batches max_chart_loss "
        "max_epochs momentum notruth num_sigmas_reject_badlabels policy power scale scales seq_scales "
        "sequential_subdivisions sgdr_cycle sgdr_mult step steps subdivisions trainable try_fix_nan unsupervised "
        "weights_reject_freq",
    ),
    **_keys(
        AUGMENTATION,
        "angle aspect blur center contrastive_color contrastive_jit_flip cutmix exposure flip gaussian_noise hue "
        "jitter max_crop max_ratio min_crop min_ratio mixup mosaic mosaic_bound rand_coef random resize resize_step "
        "saturation",
    ),
    **_keys(
        RUNTIME,
        "benchmark_layers cudnn_half full_gpu log_step num_gpus optimized_memory show_receptive_field use_cuda_graph "
        "workspace_size_limit_MB",
    ),
    **_keys(VIDEO, "augment_speed time_steps track"),
}
