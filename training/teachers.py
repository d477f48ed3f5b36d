"""The teachers of a run: trained networks whose mean it learns from beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format, fuse_conv_bn_eval

from models.errors import ConfigError
from models.layers.convolution import ConvBlock
from models.outline import Network
from models.spec import DetectorSpec
from training.checkpoint_network import load_checkpoint_network
from training.config import TrainingConfig
from training.run_folder import TEACHERS

_SAME = ("class_names", "input_width", "input_height", "anchors_px", "heads")


class Teachers:
    """Networks of the student's heads; a call returns the mean of their raw heads.

    The mean of logits of networks that differ in their seed alone answers better than each of them (Lakshminarayanan
    et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, 2017). Their weights are fixed,
    with normalisation folded into the kernels.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = [network.eval().requires_grad_(requires_grad=False) for network in networks]
        for network in self._networks:
            _fold_normalisation(network)

    @classmethod
    def load(cls, paths: Sequence[Path], spec: DetectorSpec, *, channels_last: bool = False) -> Self:
        """Load checkpoints or folders of runs; raise ConfigError where heads differ from those of ``spec``.

        Raises CheckpointError for files that hold no network.
        """
        networks = [load_checkpoint_network(path) for path in paths]
        for path, network in zip(paths, networks, strict=True):
            _require_same_heads(path, network.spec, spec)
            if channels_last:
                convert_conv2d_weight_memory_format(network, torch.channels_last)
        return cls(networks)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        for network in self._networks:
            network.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the mean of the raw heads for pictures [B, 3, H, W] in 0..1, in float32."""
        answers = zip(*(network(images) for network in self._networks), strict=True)
        return tuple(torch.stack([head.float() for head in heads]).mean(0) for heads in answers)


def teacher_paths(config: TrainingConfig, folder: Path) -> tuple[Path, ...]:
    """Return where the teachers of a run are: those named, or the runs under ``teachers`` in its folder."""
    if config.distill is None:
        return ()
    named = config.distill.teachers
    return tuple(folder / TEACHERS / str(number) for number in range(named)) if isinstance(named, int) else named


def teacher_config(config: TrainingConfig, number: int, spec: DetectorSpec) -> TrainingConfig:
    """Return how teacher ``number`` (from 0) is trained: as the student without teachers, from another seed.

    Its anchors are those of the student's ``spec``, also where they were fitted.
    """
    changes: dict[str, object] = {"distill": None, "seed": config.seed + number}
    if config.anchors == "fitted":
        changes["anchors"] = spec.anchors_px
    return config.replace(**changes)


def _require_same_heads(path: Path, teacher: DetectorSpec, student: DetectorSpec) -> None:
    for name in _SAME:
        theirs, own = getattr(teacher, name), getattr(student, name)
        if theirs != own:
            raise ConfigError(f"distill.teachers: expected {name} of the run, {own}, in {path}, got {theirs}")


def _fold_normalisation(network: Network) -> None:
    for module in network.modules():
        if isinstance(module, ConvBlock) and module.norm is not None:
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), None
