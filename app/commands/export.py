"""``yoloscope export``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from app.commands.export_tables import ExportResult, show_export, to_document
from app.commands.exporting import Measuring, measure, open_source
from app.commands.options import ModelOption, ModelsDirOption, ProviderOption, WeightsOption, one_model
from app.commands.progress import progress_bar
from app.services.runtime import Runtime
from app.settings import Settings, load_settings
from models.errors import ConfigError
from training.data.datasets import open_dataset
from training.export.artefact import read_artefact, write_artefact
from training.export.calibration import CalibrationPictures, find_calibration
from training.export.int8 import Int8Network, Int8Settings
from training.export.int8 import Progress as Step
from training.export.network_part import take_network
from training.export.onnx import read_spec
from training.export.precision import make_fp16, make_int8
from training.export.quantize import require_float32

PRECISIONS: Final = ("fp32", "fp16", "int8")


def export(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Model: a name, an .onnx file, a .ckpt or the folder of a run."),
    ] = None,
    model: ModelOption = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="ONNX file to write.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set; for int8 the calibration pictures, which may be a plain folder.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Part of --data for calibration; default: all of it.")] = None,
    calibration_pictures: Annotated[int, typer.Option(help="Calibration pictures, spread over the part.")] = 64,
    evaluate_data: Annotated[Path | None, typer.Option(help="Data set to measure AP on; default: --data.")] = None,
    evaluate_split: Annotated[str | None, typer.Option(help="Part of it, such as test.")] = None,
    float_share: Annotated[
        float, typer.Option(min=0, max=1, help="Most of the multiplications that int8 leaves in float.")
    ] = Int8Settings.float_share,
    slowdown: Annotated[
        float, typer.Option(min=1, help="Most that layers in float may slow down int8, as a factor.")
    ] = Int8Settings.slowdown,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    provider: ProviderOption = None,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Write a model as one ONNX file in full, half or 8-bit precision, and compare it with the original.

    Quantising to 8 bits needs pictures (labels or not) like those the model will see; layers that lose accuracy stay in
    float. AP is measured where --evaluate-data or --evaluate-split says on what. For example:
    yoloscope export yolov4-tiny --precision int8 --data photos/ --evaluate-data coco --evaluate-split val -o int8.onnx
    """
    target = _check(precision, output, data, split)
    settings = load_settings(model=one_model(name, model), provider=provider, models_dir=models_dir, weights=weights)
    calibration, dataset = None, None
    if data is not None and precision == "int8":
        calibration = find_calibration(data, split, calibration_pictures)
        split = None
    if evaluate_data or evaluate_split or (data is not None and calibration is None):
        dataset = open_dataset(_either(evaluate_data, data), evaluate_split or (None if evaluate_data else split))
    with tempfile.TemporaryDirectory() as scratch, _progress() as step:
        source = open_source(settings, Path(scratch))
        if target.exists() and target.samefile(source):
            raise ConfigError(f"--output: expected another file than the model itself, got {target}")
        if dataset is not None:
            dataset = dataset.for_model(read_spec(source).class_names)
        made = _write(source, precision, target, calibration, Int8Settings(float_share, slowdown), step, settings)
        pictures = None if calibration is None else calibration.paths
        measured = measure(source, target, Measuring(settings, dataset, pictures, step))
    result = ExportResult(precision, target, made, measured)
    if as_json:
        typer.echo(json.dumps(to_document(result), indent=2, allow_nan=False))
    else:
        show_export(result, Console(highlight=False, markup=False))


def _check(precision: str, output: Path | None, data: Path | None, split: str | None) -> Path:
    """Return the file to write; raise ConfigError where an option is wrong or missing."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if output is None or output.suffix != ".onnx":
        raise ConfigError(f"--output: expected an .onnx file to write, got {output or 'none'}")
    if precision == "int8" and data is None:
        raise ConfigError("--data: int8 needs calibration pictures, a data set or a folder of pictures; got none")
    if split is not None and data is None:
        raise ConfigError(f"--split: expected --data, whose part {split!r} would be, got none")
    return output


def _either(first: Path | None, second: Path | None) -> Path:
    chosen = first or second
    if chosen is None:
        raise ConfigError("--evaluate-split: expected --evaluate-data or --data with it, got neither")
    return chosen


def _write(
    source: Path,
    precision: str,
    target: Path,
    calibration: CalibrationPictures | None,
    int8: Int8Settings,
    step: Step,
    settings: Settings,
) -> Int8Network | None:
    """Write the artefact; how it was quantised, if it was."""
    made = None
    if calibration is not None:
        changed, made = make_int8(source, calibration, int8, step)
    elif precision == "fp16":
        changed = make_fp16(source)
    else:
        changed = read_artefact(source)[0]
        require_float32(take_network(changed))
    write_artefact(changed, target, lambda path: Runtime(path, settings.provider, settings.threads).warm_up())
    return made


@contextmanager
def _progress() -> Iterator[Step]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("exporting", total=1.0)
        yield lambda what, part: progress.update(task, description=what, completed=part)
