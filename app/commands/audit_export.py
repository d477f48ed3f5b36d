"""``yoloscope audit export``: findings in the tools where people label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yoloscope.app.commands.options import NO_DATA, RequiredDataOption
from yoloscope.models.errors import ConfigError
from yoloscope.models.files import write_text
from yoloscope.training.data.datasets import open_split_or_all
from yoloscope.training.diagnostics.exchange import LabelingConfig, to_fiftyone, to_label_studio
from yoloscope.training.diagnostics.exchange.label_studio import LOCAL_FILES, class_names_in
from yoloscope.training.diagnostics.findings import AuditReport, json_text


def export(
    report: Annotated[Path, typer.Argument(help="report.json of an audit.")],
    data: RequiredDataOption = NO_DATA,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File of Label Studio tasks, as tasks.json.")
    ] = None,
    image_url: Annotated[
        str, typer.Option(help="Where Label Studio finds an image; its path in --data follows.")
    ] = LOCAL_FILES,
    fiftyone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a FiftyOne data set of this name; needs fiftyone.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of the data set that was audited; default: the one that the report names.")
    ] = None,
) -> None:
    """Take the findings of an audit to Label Studio or FiftyOne.

    Label Studio gets the labels as annotations and the findings as predictions, sorted by their score; the labeling
    configuration is written beside the tasks.
    """
    if (output is None) == (fiftyone is None):
        raise ConfigError(f"--output: expected --output or --fiftyone, got {'neither' if output is None else 'both'}")
    audited = AuditReport.from_json(report.read_text(encoding="utf-8"))
    dataset = open_split_or_all(data, split or audited.split)
    if fiftyone is not None:
        made = to_fiftyone(audited, dataset, fiftyone)
        typer.echo(f"made the FiftyOne data set {fiftyone}: {len(made)} images, {len(audited.findings)} findings")
    if output is not None:
        config = LabelingConfig.of_classes(class_names_in(audited, dataset))
        tasks = to_label_studio(audited, dataset, config, image_url=image_url)
        settings = output.with_suffix(".xml")
        write_text(output, json_text(tasks, indent=1))
        write_text(settings, config.to_xml())
        typer.echo(f"wrote {output}: {len(tasks)} tasks, and {settings}, their labeling configuration")
