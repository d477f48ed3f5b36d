"""``yoloscope audit``: find the labels of a data set that are probably wrong."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from yoloscope.app.commands.audit_apply import apply
from yoloscope.app.commands.audit_export import export
from yoloscope.app.commands.common import open_runtime
from yoloscope.app.commands.options import (
    DataOption,
    ModelOption,
    ModelsDirOption,
    ProviderOption,
    ShapesOption,
    WeightsOption,
    progress_bar,
)
from yoloscope.app.commands.score_data import UNREAD
from yoloscope.app.services.image_scores import one_torch_thread
from yoloscope.app.services.model_store import BUILTIN
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError
from yoloscope.training.config import find_config
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage, open_dataset
from yoloscope.training.diagnostics.audit import DEFAULT_FLOOR, AuditedModel, LabelAuditor
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.dataset_audit import (
    PAGE,
    REPORT,
    TABLE,
    AuditOptions,
    DatasetAudit,
    DetectorOf,
    audit_by_model,
    run_audit,
    write_report,
)
from yoloscope.training.diagnostics.findings import KINDS, AuditReport, FindingKind, FlagKind, ImageAudit, LabelFlag
from yoloscope.training.diagnostics.image_names import data_folder, image_name
from yoloscope.training.diagnostics.prevalence import parse_prevalence
from yoloscope.training.diagnostics.run import calibrate_on
from yoloscope.training.diagnostics.views import View
from yoloscope.training.export.artifact import read_artifact, with_spec, write_artifact
from yoloscope.training.logs import log_to_stderr
from yoloscope.training.losses import get_preset

_SHOWN: Final = 20


SplitOption = Annotated[str | None, typer.Option(help="Part of --data, such as train; default: all of it.")]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        min=2, help="Train this many models, and judge each image by one that has not seen it; needs --config."
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option(help="Configuration of --folds: a YAML file or a name (see yoloscope train).")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the reports (HTML, JSON, CSV). An audit that was stopped goes on from there."),
]
FloorOption = Annotated[float, typer.Option(min=0, max=1, help="Least probability of a finding that is listed.")]
PrevalenceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=SHARE",
        help="Share of labels that you take for wrong, as missing=.1 (of all objects) or class=.02; repeatable.",
    ),
]
CalibrateOption = Annotated[
    bool, typer.Option("--calibrate", help="Fit the probabilities to --data and write them into the model's file.")
]

TilesOption = Annotated[
    bool,
    typer.Option(
        "--tiles", help="Judge by four enlarged parts of each image too: for small objects; 3 times the work."
    ),
]


def audit(
    context: typer.Context,
    data: DataOption = None,
    split: SplitOption = None,
    model: ModelOption = None,
    folds: FoldsOption = None,
    config: ConfigOption = None,
    output: OutputOption = None,
    floor: FloorOption = DEFAULT_FLOOR,
    prevalence: PrevalenceOption = None,
    calibrate: CalibrateOption = False,
    tiles: TilesOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    shapes: ShapesOption = "enclose",
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Find the labels of a data set that are probably wrong: missing, of a wrong class, badly placed or spurious.

    Every finding has the probability that you would change this label, the edit, and the training loss it saves. For
    example: yoloscope audit --data cells --model builtin --split train --output audit
    """
    if context.invoked_subcommand is not None:
        return
    if data is None:
        raise ConfigError("--data: expected a data set, got none")
    shares = _parse_prevalence(prevalence or [])
    options = AuditOptions(floor, shares, tiles)
    training = _read_folds(folds, config, model, output)
    settings = load_settings(model=model, provider=provider, models_dir=models_dir, weights=weights)
    if calibrate:
        _require_own_model(settings, alone=training is None and output is None)
    dataset = open_dataset(data, split, shapes=shapes)
    dataset.log_notes()
    with one_torch_thread():
        if calibrate:
            _calibrate(open_runtime(settings), dataset, options)
            return
        if training is not None:
            report = _audit_folds(dataset, data_folder(data), training, settings, options)
        else:
            report = _audit(dataset, data_folder(data), settings, output, options)
    if output is not None:
        _write(report, dataset, output)
    if as_json:
        for part in report.json_parts():
            typer.echo(part, nl=False)
        typer.echo()
    else:
        show_report(report, Console(highlight=False, markup=False))
    _exit_unless_all_read(report, dataset, data_folder(data))


@dataclass(frozen=True)
class _Folds:
    """Networks to train for an audit: how many, by which configuration, below which folder."""

    count: int
    config: str
    output: Path


def _read_folds(count: int | None, config: str | None, model: str | None, output: Path | None) -> _Folds | None:
    """Return what --folds and the options that go with it ask for; raise ConfigError where one is missing."""
    if count is None and config is None:
        return None
    if count is None or config is None:
        raise ConfigError("--folds: expected --folds and --config together, got one of both")
    if output is None:
        raise ConfigError("--output: expected a folder, where the folds are trained, got none")
    if model is not None:
        raise ConfigError(f"--model: expected none beside --folds, whose networks judge the images, got {model}")
    return _Folds(count, config, output)


def _require_own_model(settings: Settings, *, alone: bool) -> None:
    """Raise ConfigError unless --calibrate has a model whose file may change, and nothing else to do."""
    if not alone:
        raise ConfigError("--calibrate: expected a model alone, got --folds or --output with it")
    if settings.model in (None, BUILTIN):
        raise ConfigError(
            f"--calibrate: expected --model with a model to write into, got {settings.model or 'none'}; to calibrate "
            f"{BUILTIN} copy its file and name the copy"
        )


def _parse_prevalence(texts: Sequence[str]) -> dict[FindingKind, float]:
    try:
        return parse_prevalence(texts)
    except ConfigError as error:
        raise ConfigError(f"--prevalence: {error}") from error


def _audit(
    dataset: DetectionDataset, root: Path, settings: Settings, output: Path | None, options: AuditOptions
) -> AuditReport:
    runtime = open_runtime(settings)
    name = runtime.path.stem, runtime.version
    auditing, dataset = audit_by_model(runtime, name, dataset, root, options, _fit)
    return _run(auditing, dataset, output)


def _audit_folds(
    dataset: DetectionDataset,
    root: Path,
    folds: _Folds,
    settings: Settings,
    options: AuditOptions,
) -> AuditReport:
    """Train the folds in the folder of the reports, and judge each image by the one that has not seen it."""
    from yoloscope.training.folds import learned_elsewhere, train_folds  # noqa: PLC0415 - the trainer, which an audit by a model does without

    config = find_config(folds.config)
    with log_to_stderr():
        trained = train_folds(config, dataset, folds.count, folds.output / "folds", progress_bar=sys.stderr.isatty())
    runtimes = [Runtime(fold.artifact, settings.provider, settings.threads) for fold in trained]
    fold_of = {image.path: number for number, fold in enumerate(trained) for image in fold.images}
    calibration = _fit(lambda image: runtimes[fold_of[image.path]], dataset, options.views)
    auditors = [
        LabelAuditor(runtime, calibration, floor=options.floor, prevalence=options.prevalence) for runtime in runtimes
    ]

    def judge(images: Sequence[LabeledImage]) -> list[ImageAudit]:
        return [auditors[fold_of[image.path]].audit([image], root)[0] for image in images]

    version = hashlib.sha256("".join(runtime.sha256 for runtime in runtimes).encode()).hexdigest()[:12]
    earlier = learned_elsewhere(config)
    note = f"Each image was judged by one of {folds.count} models ({folds.config}) that was trained without it" + (
        f", but learned from {' and '.join(earlier)}, which may have seen it." if earlier else "."
    )
    model = AuditedModel(f"{folds.count} folds", version, seen=None if earlier else False)
    return _run(DatasetAudit(root, judge, auditors[0], model, (note,)), dataset, folds.output)


def _run(auditing: DatasetAudit, dataset: DetectionDataset, output: Path | None) -> AuditReport:
    """Judge all images behind a progress bar."""
    columns = (TextColumn("auditing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        return run_audit(auditing, dataset, output, lambda audits, total: progress.track(audits, total=total))


def _fit(detect_for: DetectorOf, dataset: DetectionDataset, views: Sequence[View]) -> AuditCalibration:
    columns = (TextColumn("calibrating"), BarColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        progress.add_task("calibrating", total=None)
        return calibrate_on(detect_for, dataset, dataset.title, views)


def _calibrate(runtime: Runtime, dataset: DetectionDataset, options: AuditOptions) -> None:
    """Fit a calibration and write it into the file of the model."""
    get_preset(None, runtime.spec)
    dataset = dataset.for_model(runtime.spec.class_names)
    found = _fit(lambda _: runtime, dataset, options.views).with_prevalence(options.prevalence or {})
    graph, spec = read_artifact(runtime.path)
    changed = spec.model_copy(update={"calibration": found.model_dump(mode="json")})
    write_artifact(with_spec(graph, changed), runtime.path, lambda _: None)
    typer.echo(f"wrote {runtime.path}: calibrated on {found.labels} labels of {found.images} images", err=True)


def _exit_unless_all_read(report: AuditReport, dataset: DetectionDataset, root: Path) -> None:
    """Leave with the exit status 1 where there are images without an audit."""
    skipped = {skipped.location for skipped in report.skipped}
    unread = sum(image_name(image.path, root) in skipped for image in dataset.images)
    unread += sum(problem.kind in UNREAD for problem in dataset.problems)
    if unread:
        typer.echo(f"yoloscope: {unread} images could not be read, see above", err=True)
        raise typer.Exit(1)


def _write(report: AuditReport, dataset: DetectionDataset, output: Path) -> None:
    write_report(report, dataset, output)
    typer.echo(f"wrote {output}: {REPORT}, {TABLE}, and {PAGE} to accept or reject findings on", err=True)


def show_report(report: AuditReport, console: Console) -> None:
    """Print how many findings there are of each kind, the most probable ones, and the certain faults."""
    part = f" ({report.split})" if report.split else ""
    console.print(
        f"{report.data}{part}: {report.num_images} images, {report.num_labels} labels; model {report.model} "
        f"({report.version})",
        soft_wrap=True,
    )
    for note in report.notes:
        console.print(note, soft_wrap=True)
    console.print(_kinds(report))
    if report.findings:
        console.print(_top(report))
    flags: Counter[FlagKind] = Counter()
    first: dict[FlagKind, LabelFlag] = {}
    for flag in report.flags:
        flags[flag.kind] += 1
        first.setdefault(flag.kind, flag)
    for kind, flag in sorted(first.items()):
        words = f"{kind}: {flags[kind]}. {flag.consequence} First: {flag.image}, label {flag.label_index}"
        console.print(words, soft_wrap=True)
    for skipped in report.skipped:
        console.print(f"skipped {skipped.location}: {skipped.detail}", soft_wrap=True)


def _kinds(report: AuditReport) -> Table:
    table = Table(title=f"Findings of a probability of {report.floor:g} or more", title_justify="left")
    table.add_column("kind")
    for heading in ("findings", "expected errors", "above .5", "above .9", "assumed share"):
        table.add_column(heading, justify="right")
    counts: Counter[tuple[FindingKind, float]] = Counter()
    expected = dict.fromkeys(KINDS, 0.0)
    for finding in report.findings:
        expected[finding.kind] += finding.probability
        counts.update((finding.kind, bound) for bound in (0.0, 0.5, 0.9) if finding.probability >= bound)
    for kind in KINDS:
        total, *above = (str(counts[kind, bound]) for bound in (0.0, 0.5, 0.9))
        table.add_row(kind, total, f"{expected[kind]:.1f}", *above, f"{report.prevalence[kind]:g}")
    return table


def _top(report: AuditReport) -> Table:
    table = Table(title="The most probable", title_justify="left")
    table.add_column("p", justify="right")
    table.add_column("kind")
    table.add_column("where", overflow="fold")
    table.add_column("why", overflow="fold")
    for finding in report.findings[:_SHOWN]:
        label = "" if finding.label_index is None else f", label {finding.label_index}"
        table.add_row(f"{finding.probability:.3f}", finding.kind, f"{finding.image}{label}", finding.reason)
    return table


group = typer.Typer(
    invoke_without_command=True,
    subcommand_metavar="[apply|export ...]",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
"""``yoloscope audit`` and, below it, ``apply`` and ``export``."""
group.callback()(audit)
group.command(short_help="Write a corrected copy of a data set from accepted findings.")(apply)
group.command(short_help="Take findings to Label Studio or FiftyOne.")(export)
