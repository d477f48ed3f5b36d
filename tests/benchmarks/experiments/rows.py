"""The rows of every table: names, and what sets each apart from the first."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yoloscope.training.config import TrainingConfig, find_config
from yoloscope.training.teachers import num_teachers_to_train

Changes = Mapping[str, Any]
DEFAULT_DEVICE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """A run, or with ``trained_as`` another evaluation of the run of that name.

    Where its configuration gives a number of teachers, they are runs of ``taught_by``.
    """

    name: str
    config: TrainingConfig
    nms: Mapping[str, Any] | None = None
    trained_as: str | None = None
    taught_by: Row | None = None


@dataclass(frozen=True)
class Table:
    """Runs that share data and budget; ``seeds`` is how many of each are trained unless the command says otherwise."""

    title: str
    rows: tuple[Row, ...]
    seeds: int = 1

    def seeds_of(self, row: Row, seeds: int) -> int:
        """Return how many seeds of a row are trained where ``seeds`` of each are asked for: teachers of all count."""
        taught = [one.config for one in self.rows if one.taught_by == row]
        return seeds + max((num_teachers_to_train(config) - 1 for config in taught), default=0)


def tables(weights: Path | None) -> dict[str, Table]:
    """Return every table by name; the one on start weights needs ``weights``, a file of the official yolov4-tiny."""
    found = {
        "builtin": _builtin(),
        "networks": _networks(),
        "boxes": _boxes(),
        "freebies": _freebies(),
        "specials": _specials(),
    }
    return found if weights is None else found | {"start": _start(weights)}


def _base(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((DEFAULT_DEVICE / f"{name}.yaml").read_text("utf-8"))
    return values


def changed(base: Mapping[str, Any], changes: Changes) -> TrainingConfig:
    """Return the configuration ``base`` with ``changes``, whose keys are dotted paths."""
    values = deepcopy(dict(base))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return TrainingConfig.parse(values)


def _rows(base: Mapping[str, Any], changes: Mapping[str, Changes]) -> tuple[Row, ...]:
    return tuple(Row(name, changed(base, change)) for name, change in changes.items())


def _builtin() -> Table:
    alone = Row("alone", find_config("bccd-tiny"))
    taught = Row("taught by the mean of three", find_config("builtin"), taught_by=alone)
    return Table("The built-in model", (alone, taught), 3)


def _networks() -> Table:
    names = ("yolov2-tiny", "yolov3-tiny", "yolov4-tiny")
    return Table("Tiny networks, each with its own loss", _rows(_base("tiny"), {n: {"network": n} for n in names}), 2)


def _boxes() -> Table:
    losses = ("mse", "giou", "diou", "ciou")
    autograd: dict[str, Changes] = {f"{loss}, autograd": {"freebies.box_loss": loss} for loss in losses}
    darknet: dict[str, Changes] = {
        f"{loss}, darknet": {"loss": {"preset": "v4-darknet", "overrides": {"iou_loss": loss}}} for loss in losses
    }
    return Table("Box loss and its gradient", _rows(_base("tiny"), autograd | darknet), 2)


def _start(weights: Path) -> Table:
    whole: Changes = {"network_options": {}}
    tuned = {"start": {"weights": str(weights), "part": "other_classes"}, "optimizer.lr": 0.001}
    rows = _rows(_base("tiny"), {"from scratch": whole, "from the official weights": {**whole, **tuned}})
    return Table("Start weights, whole yolov4-tiny", rows)


def _freebies() -> Table:
    return Table(
        "Freebies, one switch at a time",
        _rows(
            _base("tiny") | {"epochs": 16, "validation": {"every_epochs": 16, "batch_size": 8}},
            {
                "base": {},
                "mosaic on half": {"augment.mosaic": 0.5},
                "mosaic on half, none at the end": {"augment.mosaic": 0.5, "augment.close_mosaic_fraction": 0.25},
                "CutMix on half": {"augment.cutmix": 0.5},
                "MixUp on half": {"augment.mixup": 0.5},
                "color jitter off": {"augment.color": None},
                "color jitter as darknet's": {"augment.color": {}},
                "flips off": {"augment.flip_horizontal": 0.0, "augment.flip_vertical": 0.0},
                "random scale off": {"augment.random_scale": None},
                "random scale .7 to 1.4": {"augment.random_scale": (0.7, 1.4)},
                "crop jitter .2": {"augment.crop_jitter": 0.2},
                "random training shapes 1.4": {"augment.random_shapes": 1.4},
                "label smoothing .01": {"freebies.label_smoothing": 0.01},
                "self-adversarial training on a fifth": {"freebies.self_adversarial": 0.2},
                "grid sensitivity off": {"freebies.grid_sensitivity": False},
                "one anchor per object": {"freebies.multi_anchor": False},
                "2 mini-batches": {"accumulate": 2},
                "2 mini-batches, CmBN": {"accumulate": 2, "freebies.cross_mini_batch_norm": True},
                "cosine, restart after half": {"schedule.cycle_epochs": 8, "schedule.multiplier": 1},
                "steps instead of cosine": {"schedule.kind": "steps"},
                "constant rate": {"schedule.kind": "constant"},
                "average of the weights off": {"ema": None},
                "published anchors": {"anchors": "published"},
            },
        ),
    )


def _specials() -> Table:
    base = _base("yolov4")
    rows = _rows(
        base,
        {
            "base": {},
            "Mish off (leaky)": {"network_options.backbone_activation": "leaky"},
            "CSP off": {"network_options.csp": False},
            "SPP off": {"network_options.spp": False},
            "PAN off": {"network_options.pan": False},
            "SAM on": {"network_options.sam": True},
            "MiWRC on": {"network_options.weighted_residuals": True},
            "DropBlock .1": {"network_options.dropblock": 0.1, "freebies.drop_block": 0.1},
        },
    )
    plain = Row("DIoU-NMS off", rows[0].config, nms={"beta": None}, trained_as="base")
    return Table("Specials of a narrow YOLOv4", (*rows, plain))
