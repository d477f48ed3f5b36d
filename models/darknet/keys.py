"""Keys that several section types share, and why those that are inert are."""

from __future__ import annotations

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
    "onlyforward": TRAINING,
    "stopbackward": TRAINING,
    "train_only_bn": TRAINING,
}

CONV_INERT = {
    "angle": "angle of rotated kernels, which are refused",
    "assisted_excitation": TRAINING,
    "cbn": "batch statistics of training",
    "dot": TRAINING,
    "grad_centr": TRAINING,
    "receptive_field": RUNTIME,
}

CONV_REFUSED = dict.fromkeys(
    ("rotate", "stretch", "stretch_sway", "sway"),
    "kernels deformed during the run, computed by darknet's CUDA build alone",
)

HEAD_INERT = {
    "classes_multipliers": TRAINING,
    "counters_per_class": TRAINING,
    "dets_for_show": VIDEO,
    "dets_for_track": VIDEO,
    "embedding_layer": VIDEO,
    "jitter": AUGMENTATION,
    "max": "most labels per picture in training",
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
        "B1 B2 adam adversarial_lr attention badlabels_reject_percentage badlabels_rejection_threshold batch burn_in "
        "contrastive decay dynamic_minibatch ema_alpha eps equidistant_point gamma init_sequential_subdivisions "
        "label_smooth_eps learning_rate learning_rate_min loss_scale lr_decay lr_min max_batches max_chart_loss "
        "max_epochs momentum num_sigmas_reject_badlabels policy power scale scales seq_scales sequential_subdivisions "
        "sgdr_cycle sgdr_mult step steps subdivisions trainable try_fix_nan unsupervised weights_reject_freq",
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
