"""``yoloscope anchors``.

Anchors as tables on the terminal, and as lines to paste.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from yoloscope.app.commands.options import NO_DATA, RequiredDataOption, ShapesOption, SizeOption, parse_size
from yoloscope.models import registry
from yoloscope.models.anchors import REGION_STRIDE
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.anchors import AnchorComparison, AnchorFit, AnchorQuality, anchor_strides, compare_anchors
from yoloscope.training.data.datasets import open_split_or_all


def show_anchors(comparison: AnchorComparison, spec: DetectorSpec, console: Console) -> None:
    """Print which head gets which anchors, their quality before and after, and the lines to paste."""
    console.print(_heads(comparison.fitted, spec))
    console.print(_quality_table(comparison))
    console.print("recall: objects that their best anchor overlaps by .5 or more", soft_wrap=True)
    several = (
        "" if comparison.multi_iou is None else f", and none of a head overlaps it by over {comparison.multi_iou:g}"
    )
    console.print(f"lost: objects under a pixel, or whose best anchor belongs to no head{several}\n", soft_wrap=True)
    console.print("For a training configuration:\n")
    console.print(training_line(comparison.fitted), soft_wrap=True)
    console.print("\nFor a darknet cfg:\n")
    for line in darknet_lines(comparison.fitted, spec):
        console.print(line, soft_wrap=True)


def training_line(fitted: AnchorFit) -> str:
    """Return the key ``anchors`` of a training configuration."""
    return f"anchors: [{', '.join(f'[{width:g}, {height:g}]' for width, height in fitted.anchors_px)}]"


def darknet_lines(fitted: AnchorFit, spec: DetectorSpec) -> list[str]:
    """Return the keys of a darknet cfg, a section for each head; ``region`` has its anchors in cells."""
    if spec.heads[0].kind == "region":
        cells = ((width / REGION_STRIDE, height / REGION_STRIDE) for width, height in fitted.anchors_px)
        return ["[region]", f"anchors = {_pairs(cells, 4)}", f"num={len(fitted.anchors_px)}"]
    lines: list[str] = []
    for mask in fitted.masks:
        lines += ["[yolo]", f"mask = {','.join(map(str, mask))}", f"anchors = {_pairs(fitted.anchors_px, 1)}"]
        lines.append(f"num={len(fitted.anchors_px)}")
    return lines


def _pairs(anchors: Iterable[tuple[float, float]], decimals: int) -> str:
    return ",  ".join(f"{round(width, decimals):g},{round(height, decimals):g}" for width, height in anchors)


def _heads(fitted: AnchorFit, spec: DetectorSpec) -> Table:
    table = Table(title="Fitted anchors (width x height in pixels of the network)", title_justify="left")
    for name in ("stride", "grid", "mask", "anchors"):
        table.add_column(name, justify="left" if name == "anchors" else "right")
    for stride, head, mask in zip(anchor_strides(spec), spec.heads, fitted.masks, strict=True):
        own = "  ".join(f"{width:g}x{height:g}" for width, height in (fitted.anchors_px[index] for index in mask))
        table.add_row(str(stride), f"{head.grid_width}x{head.grid_height}", ",".join(map(str, mask)), own)
    return table


def _quality_table(comparison: AnchorComparison) -> Table:
    table = Table(title="Quality", title_justify="left")
    table.add_column("")
    for name in ("published", "fitted"):
        table.add_column(name, justify="right")
    before, after = comparison.published, comparison.fitted.quality
    table.add_row("mean best IoU", f"{before.mean_best_iou:.3f}", f"{after.mean_best_iou:.3f}")
    table.add_row("best possible recall", f"{before.best_possible_recall:.3f}", f"{after.best_possible_recall:.3f}")
    table.add_row("lost objects", str(len(before.lost)), str(len(after.lost)))
    return table


def anchors(
    data: RequiredDataOption = NO_DATA,
    split: Annotated[str, typer.Option(help="Part of the data set; '' for all of it.")] = "train",
    network: Annotated[str, typer.Option(help=f"Network, one of {', '.join(registry.names())}.")] = "yolov4-tiny",
    size: SizeOption = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Anchors in all, shared out among the heads; default: as published.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers.")] = 0,
    shapes: ShapesOption = "enclose",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a network's anchors to the objects of a data set.

    K-means on 1 - IoU of widths and heights, then mutation and crossover. Prints the anchors for each head, how well
    they suit the objects beside the published ones, and lines to paste; training fits the same ones by itself where its
    configuration says: anchors: fitted. For example: yoloscope anchors --data bccd --network yolov4-tiny --size 320x320
    """
    spec = _spec(network, size)
    anchor_strides(spec)
    dataset = open_split_or_all(data, split or None, shapes=shapes)
    dataset.log_notes()
    dataset.require_sound()
    comparison = compare_anchors(dataset, spec, count, seed)
    if as_json:
        typer.echo(json.dumps(_document(comparison, spec), indent=2))
        return
    part = f" ({dataset.split})" if dataset.split else ""
    console = Console(highlight=False, markup=False)
    console.print(
        f"{dataset.source}{part}: {comparison.num_objects} objects in {len(dataset)} images, for {network} at "
        f"{spec.input_width}x{spec.input_height}",
        soft_wrap=True,
    )
    show_anchors(comparison, spec, console)


def _spec(network: str, size: str | None) -> DetectorSpec:
    """Return the spec of a network, which needs no weights."""
    with torch.device("meta"):
        built = registry.build(network, input_size=None if size is None else parse_size(size))
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
