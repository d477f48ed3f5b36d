"""The teachers of a run: trained networks whose mean it learns from beside the labels."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format, fuse_conv_bn_eval

from yoloscope.models.errors import CheckpointError, ConfigError
from yoloscope.models.layers.convolution import ConvBlock
from yoloscope.models.network import Network
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.checkpoint.files import TEACHERS, first_not_finite
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.config import TrainingConfig

_SAME = ("class_names", "input_width", "input_height", "anchors_px")


class Teachers:
    """Fixed networks with the student's heads; a call returns the mean of their raw heads.

    Deep ensembles (Lakshminarayanan et al., 2017) average probabilities; raw entries are averaged here, so that boxes
    have a mean too. Normalization is folded into the kernels. ``digest`` identifies the weights.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self.digest = _digest(networks)
        self._networks = [_folded(network) for network in networks]

    @classmethod
    def load(cls, paths: Sequence[Path], spec: DetectorSpec, *, channels_last: bool = False) -> Self:
        """Load checkpoints or folders of runs; raise ConfigError where heads differ from those of ``spec``.

        Raises CheckpointError for files that hold no network, or one whose weights are not finite.
        """
        networks = [load_checkpoint_network(path) for path in paths]
        for path, network in zip(paths, networks, strict=True):
            _require_same_heads(path, network.spec, spec)
            bad = first_not_finite(network)
            if bad is not None:
                raise CheckpointError(f"distill.teachers: expected finite weights in {path}, got others in {bad}")
            if channels_last:
                convert_conv2d_weight_memory_format(network, torch.channels_last)
        return cls(networks)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        for network in self._networks:
            network.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the mean of the raw heads for images [B, 3, H, W] in 0..1, in float32."""
        answers = zip(*(network(images) for network in self._networks), strict=True)
        return tuple(torch.stack([head.float() for head in heads]).mean(0) for heads in answers)


def num_teachers_to_train(config: TrainingConfig) -> int:
    """Return how many teachers a run trains first."""
    return config.distill.teachers if config.distill and isinstance(config.distill.teachers, int) else 0


def teacher_paths(config: TrainingConfig, folder: Path) -> tuple[Path, ...]:
    """Return where the teachers of a run are: those named, or the runs under ``teachers`` in its folder."""
    if config.distill is None or isinstance(config.distill.teachers, int):
        return tuple(folder / TEACHERS / str(number) for number in range(num_teachers_to_train(config)))
    return config.distill.teachers


def teacher_config(config: TrainingConfig, number: int, spec: DetectorSpec) -> TrainingConfig:
    """Return how teacher ``number`` (from 0) is trained: as the student without teachers, ``number`` seeds further.

    Its anchors are those of the student's ``spec``, also where they were fitted.
    """
    changes: dict[str, object] = {"distill": None, "seed": config.seed + number}
    if config.anchors == "fitted":
        changes["anchors"] = spec.anchors_px
    return config.replace(**changes)


def _require_same_heads(path: Path, teacher: DetectorSpec, student: DetectorSpec) -> None:
    found = [(name, getattr(student, name), getattr(teacher, name)) for name in _SAME]
    found.append(("heads", len(student.heads), len(teacher.heads)))
    for index, (own, theirs) in enumerate(zip(student.heads, teacher.heads, strict=False)):
        found += [(f"heads[{index}].{key}", value, getattr(theirs, key)) for key, value in own]
    for name, wanted, got in found:
        if wanted != got:
            raise ConfigError(f"distill.teachers: {path}: {name}: expected that of the run, {wanted}, got {got}")


def _digest(networks: Sequence[Network]) -> str:
    """Return the sha256 of all weights, in order."""
    digest = hashlib.sha256()
    for network in networks:
        for value in network.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _folded(network: Network) -> Network:
    """Return a copy with fixed weights and without normalization."""
    fixed = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for module in fixed.modules():
        if isinstance(module, ConvBlock) and module.norm is not None:
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), None
    return fixed
