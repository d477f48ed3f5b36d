"""``yoloscope export``.

An export as tables on the terminal, and as a document for programs.

What ``yoloscope export`` starts from, and what it measures.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import onnx
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from yoloscope.app.commands.common import reach_model
from yoloscope.app.commands.export_graph import is_cut, show_graph_export, write_graph_export
from yoloscope.app.commands.options import (
    ModelOption,
    ModelsDirOption,
    ProviderOption,
    WeightsOption,
    choice,
    one_model,
    progress_bar,
)
from yoloscope.app.hub import require_free_name
from yoloscope.app.services.model_store import BUILTIN
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError
from yoloscope.models.images import read_image
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.checkpoint.files import named_checkpoint
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.evaluation.evaluate import evaluate
from yoloscope.training.export.artifact import read_artifact, read_spec, write_artifact
from yoloscope.training.export.compare import Agreement, Latency, compare, time_both
from yoloscope.training.export.consumers import Outputs
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.export.parity import synthetic_images
from yoloscope.training.export.precision import make_fp16, make_int8
from yoloscope.training.export.quantization.int8 import Int8Network, Int8Settings, ProgressCallback, require_float32
from yoloscope.training.export.quantization.ranges import CalibrationImages, evenly_spaced, find_calibration
from yoloscope.training.export.surgery import take_network
from yoloscope.training.export.tracing import renew_detections


@dataclass(frozen=True)
class ExportResult:
    """Result of an export: the file, its quantization if any, and its measurements."""

    precision: str
    output: Path
    int8: Int8Network | None
    measured: Measured


def show_export(result: ExportResult, console: Console) -> None:
    """Print the layers of a quantized network, then the new file beside the original."""
    if result.int8 is not None:
        _show_layers(result.int8, console)
    measured = result.measured
    console.print(_files(result))
    agreement = measured.agreement
    console.print(
        f"on {agreement.num_images} images: heads within {agreement.head_error:.2g} (largest value "
        f"{agreement.head_magnitude:.3g}), {agreement.num_same} of {agreement.num_detections} detections found again, "
        f"detection error {agreement.detection_error:.3f}",
        soft_wrap=True,
    )
    if measured.ap is None:
        console.print("AP: not measured; --evaluate-data and --evaluate-split say on what", soft_wrap=True)
    console.print(f"wrote {result.output}", soft_wrap=True)


def to_document(result: ExportResult) -> dict[str, Any]:
    """Return the same as JSON values."""
    measured = result.measured
    document: dict[str, Any] = {
        "output": str(result.output),
        "precision": result.precision,
        "sha256": measured.changed.sha256,
        "provider": measured.changed.provider,
        "original": _figures(measured, 0),
        "exported": _figures(measured, 1),
        "speedup": measured.timing.speedup,
        "agreement": asdict(measured.agreement),
    }
    if result.int8 is not None:
        document["int8"] = {
            "ranges": result.int8.method,
            "detection_error_by_ranges": result.int8.method_errors,
            "detection_error": result.int8.error,
            "layers": [asdict(layer) for layer in result.int8.layers],
        }
    return document


def _figures(measured: Measured, index: int) -> dict[str, Any]:
    milliseconds = (measured.timing.original_ms, measured.timing.changed_ms)[index]
    figures: dict[str, Any] = {"bytes": measured.sizes[index], "ms_per_image": milliseconds}
    return figures if measured.ap is None else figures | measured.ap[index]


def _files(result: ExportResult) -> Table:
    measured = result.measured
    table = Table(title=f"{measured.changed.spec.name} on {measured.changed.provider}", title_justify="left")
    table.add_column("")
    for heading in ("original", result.precision, "change"):
        table.add_column(heading, justify="right")
    first, second = measured.sizes
    table.add_row("MB", f"{first / 1e6:.2f}", f"{second / 1e6:.2f}", f"{second / first:.2f}x")
    if measured.ap is not None:
        for name in ("AP", "AP50"):
            before, after = (numbers[name] for numbers in measured.ap)
            table.add_row(name, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
    timing = measured.timing
    table.add_row(
        "ms per image", f"{timing.original_ms:.1f}", f"{timing.changed_ms:.1f}", f"{timing.speedup:.2f}x as fast"
    )
    return table


def _show_layers(made: Int8Network, console: Console) -> None:
    tried = ", ".join(f"{name} {error:.3f}" for name, error in made.method_errors.items())
    console.print(f"ranges: {made.method} (detection error with every layer in 8 bits: {tried})", soft_wrap=True)
    caption = f"error: of the detections when this layer alone is in 8 bits; remaining altogether: {made.error:.3f}"
    table = Table(title="Layers", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("layer", overflow="fold")
    table.add_column("error", justify="right")
    table.add_column("multiplications", justify="right")
    table.add_column("precision")
    for layer in made.layers:
        error = "-" if layer.error is None else f"{layer.error:.3f}"
        table.add_row(layer.name, error, f"{layer.share:.1%}", "float" if layer.in_float else "int8")
    console.print(table)


COMPARED: Final = 16


@dataclass(frozen=True)
class Measuring:
    """With what to measure: a labeled data set, or the paths of any images, or neither."""

    settings: Settings
    dataset: DetectionDataset | None
    paths: Sequence[Path] | None
    progress: ProgressCallback


@dataclass(frozen=True)
class Measured:
    """Differences of the new file from the original: bytes, and in ``ap`` COCO's numbers by name, of each file."""

    original: Runtime
    changed: Runtime
    sizes: tuple[int, int]
    agreement: Agreement
    timing: Latency
    ap: tuple[dict[str, float], dict[str, float]] | None


def open_source(settings: Settings, scratch: Path) -> Path:
    """Return the float32 artifact to start from; that of a checkpoint is written to ``scratch``."""
    checkpoint = named_checkpoint(settings.model)
    if checkpoint is None:
        return reach_model(settings)
    network = load_checkpoint_network(checkpoint)
    path = scratch / "float32.onnx"
    for warning in export_onnx(network, network.spec, path).warnings:
        typer.echo(warning, err=True)
    return path


def measure(source: Path, output: Path, what: Measuring) -> Measured:
    """Compare two artifacts on the images of a data set, on others, or on synthetic ones."""
    original, changed = (Runtime(path, what.settings.provider, what.settings.threads) for path in (source, output))
    sizes = source.stat().st_size, output.stat().st_size
    images = _images(what, original.spec)
    agreement, timing = compare(original, changed, images), time_both(original, changed, images)
    if what.dataset is None:
        return Measured(original, changed, sizes, agreement, timing, None)
    before = _numbers(original, what.dataset, "evaluating the original", what.progress)
    after = _numbers(changed, what.dataset, "evaluating the new file", what.progress)
    return Measured(original, changed, sizes, agreement, timing, (before, after))


def _numbers(runtime: Runtime, dataset: DetectionDataset, title: str, progress: ProgressCallback) -> dict[str, float]:
    """Return COCO's numbers by name."""
    done = count(1)
    evaluation = evaluate(runtime, dataset, progress=lambda _: progress(title, next(done) / len(dataset)))
    return evaluation.coco.numbers


def _images(what: Measuring, spec: DetectorSpec) -> list[NDArray[Any]]:
    """Return up to 16 placed images."""
    paths = [image.path for image in what.dataset.images] if what.dataset is not None else what.paths
    if not paths:
        return list(synthetic_images(spec))
    return [preprocess(read_image(path), spec)[0] for path in evenly_spaced(paths, COMPARED)]


Nms = Literal["exact", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: Final = get_args(Precision)


def export(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Model: a name, an .onnx file, a .ckpt or the folder of a run."),
    ] = None,
    model: ModelOption = None,
    precision: Annotated[Precision, choice("--precision", PRECISIONS, "Numbers of the new file.")] = "fp32",
    outputs: Annotated[
        Outputs, choice("--outputs", get_args(Outputs), "Last values of the graph; other runtimes take heads or boxes.")
    ] = "detections",
    nms: Annotated[Nms, choice("--nms", get_args(Nms), "Suppression in the graph; tensorrt: plain IoU.")] = "exact",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="ONNX file to write.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set; for int8 the calibration images, which may be a plain folder.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Part of --data for calibration; default: all of it.")] = None,
    calibration_images: Annotated[int, typer.Option(help="Calibration images, spread over the part.")] = 64,
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

    Quantizing to 8 bits needs images (labels or not) like those the model will see; layers that lose accuracy stay in
    float. AP is measured where --evaluate-data or --evaluate-split says on what. --outputs heads or boxes makes a file
    for OpenCV's cv2.dnn, OpenVINO and others: float images in, raw heads or decoded boxes out; --nms tensorrt puts
    TensorRT's EfficientNMS_TRT behind the boxes. For example:
    yoloscope export yolov4-tiny --precision int8 --data photos/ --evaluate-data coco --evaluate-split val -o int8.onnx
    """
    target = _check(precision, output, data, split)
    cut = is_cut(outputs, nms, evaluate_data if precision == "int8" else evaluate_data or data, evaluate_split)
    settings = load_settings(model=one_model(name, model), provider=provider, models_dir=models_dir, weights=weights)
    calibration, dataset = None, None
    if data is not None and precision == "int8":
        calibration = find_calibration(data, split, calibration_images)
        split = None
    if not cut and (evaluate_data or evaluate_split or (data is not None and calibration is None)):
        dataset = _open(_either(evaluate_data, data), evaluate_split or (None if evaluate_data else split))
    with tempfile.TemporaryDirectory() as scratch, _progress() as step:
        source = open_source(settings, Path(scratch))
        _check_target(target, source, settings)
        if dataset is not None:
            dataset = dataset.for_model(read_spec(source).class_names)
        changed, made = _converted(source, precision, calibration, Int8Settings(float_share, slowdown), step)
        if cut:
            show_graph_export(write_graph_export(changed, read_spec(source), outputs, target), as_json=as_json)
            return
        write_artifact(changed, target, lambda path: Runtime(path, settings.provider, settings.threads).warm_up())
        images = None if calibration is None else calibration.paths
        measured = measure(source, target, Measuring(settings, dataset, images, step))
    _show(ExportResult(precision, target, made, measured), as_json=as_json)


def _show(result: ExportResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(to_document(result), indent=2, allow_nan=False))
    else:
        show_export(result, Console(highlight=False, markup=False))


def _check(precision: str, output: Path | None, data: Path | None, split: str | None) -> Path:
    """Return the file to write; raise ConfigError where an option is wrong or missing."""
    if output is None or output.suffix != ".onnx":
        raise ConfigError(f"--output: expected an .onnx file to write, got {output or 'none'}")
    if precision == "int8" and data is None:
        raise ConfigError("--data: int8 needs calibration images, a data set or a folder of images; got none")
    if split is not None and data is None:
        raise ConfigError(f"--split: expected --data, whose part {split!r} would be, got none")
    return output


def _check_target(target: Path, source: Path, settings: Settings) -> None:
    """Raise ConfigError for a target that is the model itself, or that a built-in model would hide."""
    if target.stem == BUILTIN:
        require_free_name(target, settings.models_dir)
    if target.exists() and target.samefile(source):
        raise ConfigError(f"--output: expected another file than the model itself, got {target}")


def _open(data: Path, split: str | None) -> DetectionDataset:
    dataset = open_dataset(data, split)
    dataset.log_notes()
    return dataset


def _either(first: Path | None, second: Path | None) -> Path:
    chosen = first or second
    if chosen is None:
        raise ConfigError("--evaluate-split: expected --evaluate-data or --data with it, got neither")
    return chosen


def _converted(
    source: Path,
    precision: str,
    calibration: CalibrationImages | None,
    int8: Int8Settings,
    step: ProgressCallback,
) -> tuple[onnx.ModelProto, Int8Network | None]:
    """Return the artifact in the precision, and how it was quantized, if it was."""
    if calibration is not None:
        return make_int8(source, calibration, int8, step)
    if precision == "fp16":
        return make_fp16(source), None
    artifact, spec = read_artifact(source)
    require_float32(take_network(artifact))
    return renew_detections(artifact, spec), None


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        task = progress.add_task("exporting", total=1.0)
        yield lambda what, part: progress.update(task, description=what, completed=part)
