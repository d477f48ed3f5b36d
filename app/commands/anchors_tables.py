"""Anchors as tables on the terminal, and as lines to paste."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from models.anchors import REGION_STRIDE
from models.spec import DetectorSpec
from training.anchor_fit import AnchorFit
from training.dataset_anchors import AnchorComparison, anchor_strides


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
