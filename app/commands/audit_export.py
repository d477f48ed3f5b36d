"""``yoloscope audit export``: findings in the tools where people label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yoloscope.app.commands.options import NO_DATA, RequiredDataOption
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.files import atomic_write, write_text
from yoloscope.training.data.datasets import open_split_or_all
from yoloscope.training.diagnostics.exchange import LabelingConfig, to_fiftyone, to_label_studio
from yoloscope.training.diagnostics.exchange.label_studio import LOCAL_FILES, class_names_in
from yoloscope.training.diagnostics.findings import list_parts
from yoloscope.training.diagnostics.image_names import ImageFinder
from yoloscope.training.diagnostics.store import read_report


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
    with report.open("rb") as file:
        audited = read_report(file)
    dataset = open_split_or_all(data, split or audited.split)
    finder, names = ImageFinder(dataset.images), {finding.image for finding in audited.findings}
    count = sum(finder.find(name) is not None for name in names)
    if names and not count:
        raise DatasetError(f"expected the images of the report in {data}, such as {min(names)}, got none of them")
    if fiftyone is not None:
        made = to_fiftyone(audited, dataset, fiftyone)
        typer.echo(f"made the FiftyOne data set {fiftyone}: {len(made)} images, {len(audited.findings)} findings")
    if output is not None:
        config = LabelingConfig.of_classes(class_names_in(audited, dataset))
        settings = output.with_suffix(".xml")
        tasks = to_label_studio(audited, dataset, config, image_url=image_url)
        with atomic_write(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.writelines(list_parts(tasks))
        write_text(settings, config.to_xml())
        if left_out := len(names) - count:
            typer.echo(f"left out findings of {left_out} images that are not in {data}", err=True)
        typer.echo(f"wrote {output}: {count} tasks, and {settings}, their labeling configuration")
