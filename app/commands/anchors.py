"""``yoloscope anchors``."""

from __future__ import annotations

import json
import re
from typing import Annotated

import torch
import typer
from rich.console import Console

from app.commands.anchors_tables import darknet_lines, show_anchors, training_line
from app.commands.options import DataOption
from models import registry
from models.errors import ConfigError
from models.spec import DetectorSpec
from training.anchor_fit import AnchorQuality
from training.data.datasets import open_dataset
from training.dataset_anchors import AnchorComparison, anchor_strides, compare_anchors


def anchors(
    data: DataOption = None,
    split: Annotated[str, typer.Option(help="Part of the data set; '' for all of it.")] = "train",
    network: Annotated[str, typer.Option(help=f"Network, one of {', '.join(registry.names())}.")] = "yolov4-tiny",
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Input of the network, as 416x416; default: as published.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Anchors in all, shared out among the heads; default: as published.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a network's anchors to the objects of a data set.

    K-means on 1 - IoU of widths and heights, then mutation and crossover. Prints the anchors for each head, how well
    they suit the objects beside the published ones, and lines to paste; training fits the same ones by itself where its
    configuration says: anchors: fitted. For example: yoloscope anchors --data bccd --network yolov4-tiny --size 320x320
    """
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    spec = _spec(network, size)
    anchor_strides(spec)
    dataset = open_dataset(data, split or None)
    dataset.require_sound()
    comparison = compare_anchors(dataset, spec, count, seed)
    if as_json:
        typer.echo(json.dumps(_document(comparison, spec), indent=2))
        return
    part = f" ({dataset.split})" if dataset.split else ""
    console = Console(highlight=False, markup=False)
    console.print(
        f"{dataset.source}{part}: {comparison.num_objects} objects in {len(dataset)} pictures, for {network} at "
        f"{spec.input_width}x{spec.input_height}",
        soft_wrap=True,
    )
    show_anchors(comparison, spec, console)


def _spec(network: str, size: str | None) -> DetectorSpec:
    """Return the spec of a network, which needs no weights."""
    sides = None if size is None else re.fullmatch(r"(\d+)x(\d+)", size)
    if size is not None and sides is None:
        raise ConfigError(f"--size: expected WIDTHxHEIGHT in pixels, as 416x416, got {size!r}")
    with torch.device("meta"):
        built = registry.build(network, input_size=None if sides is None else (int(sides[1]), int(sides[2])))
    return built.spec


def _document(comparison: AnchorComparison, spec: DetectorSpec) -> dict[str, object]:
    fitted = comparison.fitted
    return {
        "network": spec.name,
        "input_size": [spec.input_width, spec.input_height],
        "objects": comparison.num_objects,
        "anchors": fitted.anchors_px,
        "heads": [
            {"stride": stride, "mask": mask, "anchors": [fitted.anchors_px[index] for index in mask]}
            for stride, mask in zip(anchor_strides(spec), fitted.masks, strict=True)
        ],
        "published": {"anchors": spec.anchors_px, **_quality(comparison.published)},
        "fitted": _quality(fitted.quality),
        "training_configuration": training_line(fitted),
        "darknet_cfg": darknet_lines(fitted, spec),
    }


def _quality(quality: AnchorQuality) -> dict[str, object]:
    return {
        "mean_best_iou": quality.mean_best_iou,
        "best_possible_recall": quality.best_possible_recall,
        "lost_objects": len(quality.lost),
    }
