"""``yoloscope audit apply``: accepted findings become a corrected copy of the data set."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from yoloscope.app.commands.options import NO_DATA, RequiredDataOption
from yoloscope.training.diagnostics.decisions import Decisions, read_decisions
from yoloscope.training.diagnostics.mending import CopyMode, Mended, NewClasses, mend

_MOST_LISTED: Final = 20


def apply(
    decisions: Annotated[
        Path, typer.Argument(help="decisions.json of the report's page, or report.json with --accept-above.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the corrected copy; it must not exist.")],
    data: RequiredDataOption = NO_DATA,
    accept_above: Annotated[
        float | None,
        typer.Option(help="Accept every finding of a report.json of at least this probability (0 to 1).", min=0, max=1),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of the data set that was audited; default: the one that the file names.")
    ] = None,
    images: Annotated[
        CopyMode, typer.Option(help="Copy images, or hard-link them: no space is used, but one file has two names.")
    ] = "copy",
    new_classes: Annotated[
        NewClasses,
        typer.Option(help="Suggested classes that the data set does not have: refuse them, or add them to it."),
    ] = "refuse",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was changed as JSON.")] = False,
) -> None:
    """Write a corrected copy of a data set, in its own format, from accepted findings of an audit.

    Labels are added, relabeled, moved and deleted as the findings suggest; all other bytes stay. The data set itself is
    only read. Nothing is written where a finding does not fit the labels as they are now.
    """
    with decisions.open("rb") as file:
        chosen = read_decisions(file, accept_probability=accept_above)
    mended = mend(chosen.accepted, data, output, split=split or chosen.split, images=images, new_classes=new_classes)
    if as_json:
        typer.echo(json.dumps(asdict(mended) | {"output": str(mended.output)}, indent=2))
    else:
        _show(mended, chosen)


def _show(mended: Mended, chosen: Decisions) -> None:
    edits, *more = mended.in_words()
    typer.echo(f"{len(chosen.accepted)} of {len(chosen.decisions)} findings accepted: {edits}")
    for line in more:
        typer.echo(line)
    for name in mended.new_classes:
        typer.echo(f"  {name}")
    for name in mended.files[:_MOST_LISTED]:
        typer.echo(f"  {name}")
    if len(mended.files) > _MOST_LISTED:
        typer.echo(f"  and {len(mended.files) - _MOST_LISTED} more files (--json lists all)")
    for name in mended.repointed:
        typer.echo(f"paths in {name} lead to the copy")
    for name in mended.left_out:
        typer.echo(f"left out, a link to nothing or to a folder around it, or no plain file: {name}")
    typer.echo(f"wrote {mended.output}: {len(mended.files)} files differ from those of the original")
