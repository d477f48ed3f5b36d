"""``yoloscope digits``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from yoloscope.app.commands.options import progress_bar
from yoloscope.training.data.digits import SceneOptions, generate


def digits(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    train: Annotated[int, typer.Option(min=1, help="Images to train on.")] = 400,
    val: Annotated[int, typer.Option(min=0, help="Images to validate on; no digit is in both parts.")] = 100,
    side: Annotated[int, typer.Option(min=32, help="Width and height of the images in pixels.")] = 192,
    seed: Annotated[int, typer.Option(min=0, help="Start of the random numbers.")] = 0,
) -> None:
    """Generate a labeled data set to try things on: handwritten digits in painted scenes, in the YOLO layout.

    The digits come with scikit-learn; nothing is downloaded. For example: yoloscope digits digits/ and then
    yoloscope train --data digits --config digits
    """
    options = SceneOptions(width=side, height=side, max_digit_px=min(SceneOptions.max_digit_px, int(side / 1.5)))
    columns = (TextColumn("painting"), BarColumn(), MofNCompleteColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("", total=train + val)
        description = generate(folder, {"train": train, "val": val}, seed, options, lambda: progress.advance(task))
    typer.echo(f"wrote {description}: {train} images to train on, {val} to validate on")
