"""``yoloscope quantize``: make the faster variants of a model for this CPU, and measure what each costs and brings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from os import _exit
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Final

import onnx
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from yoloscope.app.commands.common import reach_model
from yoloscope.app.commands.options import ModelOption, ModelsDirOption, WeightsOption, one_model
from yoloscope.app.services.runtime import Runtime, VariantDetector
from yoloscope.app.services.variants.detectors import DETECTION, INT8, NETWORK, has_bf16, open_variant
from yoloscope.app.services.variants.folders import alone_with, new_folder
from yoloscope.app.services.variants.report import (
    REPORT,
    Engine,
    Variant,
    VariantPrecision,
    VariantReport,
    choose,
    is_installed,
    read_report,
    variants_folder,
)
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.cpu import run_at_lowest_priority
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.files import sha256
from yoloscope.models.images import read_image
from yoloscope.models.preprocess import preprocess
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.data.datasets.paths import find_images
from yoloscope.training.evaluation.agreement import JudgedImage, average_precisions, with_labels, with_own_detections
from yoloscope.training.evaluation.predict import ImageDetector
from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.export.compare import times_in_turns_ms
from yoloscope.training.export.consumers import heads_graph
from yoloscope.training.export.parity import synthetic_images
from yoloscope.training.export.precision import make_int8
from yoloscope.training.export.quantization.int8 import require_float32
from yoloscope.training.export.quantization.ranges import CalibrationImages, evenly_spaced
from yoloscope.training.export.quantization.roundings import without_needless_roundings
from yoloscope.training.export.surgery import take_detection, take_network

CALIBRATED, MEASURED, LEAST_IMAGES = 64, 128, 64
"""Most images to calibrate and to measure on, and the fewest of both together."""
_TIMED: Final = 8
_ROUNDS: Final = 24


@dataclass(frozen=True)
class Sample:
    """Images of the operator: every other one calibrates, those between measure; labels where they fit the model."""

    name: str
    calibration: CalibrationImages
    paths: tuple[Path, ...]
    labeled: DetectionDataset | None


def quantize(
    name: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Model in float32: a name or an .onnx file.")
    ] = None,
    model: ModelOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help=f"Data set, or folder of images without labels, like what the model will see: {LEAST_IMAGES} or more.",
            envvar="YOLOSCOPE_CALIBRATION_DATA",
        ),
    ] = None,
    max_ap_drop: Annotated[
        float | None, typer.Option(min=0, help="Most AP that a variant may lose.", envvar="YOLOSCOPE_MAX_AP_DROP")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the network.", envvar="YOLOSCOPE_THREADS")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    background: Annotated[bool, typer.Option(hidden=True)] = False,
    models_dir: ModelsDirOption = None,
    weights: WeightsOption = None,
) -> None:
    """Make the faster variants of a model for this CPU, measure them, and keep them for the service.

    INT8 in onnxruntime; with the extra openvino also bf16 and INT8 there, where the CPU computes in bf16. The service
    does this by itself where YOLOSCOPE_PRECISION asks for it; done before, it need not. For example:
    yoloscope quantize yolov4-tiny --data photos/
    """
    settings = load_settings(
        model=one_model(name, model),
        models_dir=models_dir,
        weights=weights,
        calibration_data=data,
        max_ap_drop=max_ap_drop,
        threads=threads,
    )
    if background:
        _step_back()
    source = reach_model(settings)
    folder = variants_folder(settings.models_dir, sha256(source), settings.calibration_data, settings.threads)
    report = read_report(folder)
    if report is None:
        with alone_with(folder, lambda: typer.echo("another process makes these variants: waiting", err=True)):
            report = read_report(folder) or make_variants(source, folder, settings)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif not background:
        _show(report, settings, folder)


def _step_back() -> None:
    """Take only the time that nothing else wants, and end with the process that holds the other end of stdin."""
    run_at_lowest_priority()

    def end_with_parent() -> None:
        sys.stdin.read()
        _exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def make_variants(source: Path, folder: Path, settings: Settings) -> VariantReport:
    """Make and measure every variant that this machine can run, and put them in ``folder``, whole or not at all.

    Raises ExportError where the model is not in float32, DatasetError where there are too few images, and ConfigError
    where model or images changed meanwhile.
    """
    artifact, spec = read_artifact(source)
    require_float32(take_network(artifact))
    sample = None if settings.calibration_data is None else find_sample(settings.calibration_data, spec)
    with new_folder(folder) as scratch:
        left_out = _write(source, artifact, scratch, sample)
        report = _measure(source, scratch, sample, settings, left_out)
        if folder != variants_folder(settings.models_dir, sha256(source), settings.calibration_data, settings.threads):
            raise ConfigError("expected a model and images that stay as they are meanwhile, got others: start again")
        (scratch / REPORT).write_text(report.model_dump_json(indent=2))
    return read_report(folder) or report


def find_sample(data: Path, spec: DetectorSpec) -> Sample:
    """Return the images of a data set or a plain folder; raises DatasetError where there are fewer than 64."""
    labeled = None
    try:
        dataset = open_dataset(data)
        paths = tuple(image.path for image in dataset.images)
        labeled = _for_model(dataset, spec)
    except DatasetError:
        if not data.is_dir():
            raise
        paths = find_images(data)
    if len(paths) < LEAST_IMAGES:
        raise DatasetError(
            f"expected at least {LEAST_IMAGES} images to calibrate and measure on, got {len(paths)} in {data}"
        )
    calibration = CalibrationImages(data.resolve().name, tuple(evenly_spaced(paths[::2], CALIBRATED)))
    return Sample(data.resolve().name, calibration, tuple(evenly_spaced(paths[1::2], MEASURED)), labeled)


def _for_model(dataset: DetectionDataset, spec: DetectorSpec) -> DetectionDataset | None:
    """Return the data set with the model's classes; None where its labels are broken, of other classes, or none."""
    try:
        dataset.require_sound()
        fitted = dataset.for_model(spec.class_names)
    except DatasetError:
        return None
    return fitted if any(len(image.labels.objects) for image in fitted.images[1::2]) else None


def _write(source: Path, artifact: onnx.ModelProto, scratch: Path, sample: Sample | None) -> tuple[str, ...]:
    """Write the files of all variants; return why some are not made."""
    left_out = []
    if sample is None:
        left_out.append("int8 needs calibration images, of which there are none")
    else:
        made, _ = make_int8(source, sample.calibration)
        onnx.save(made, scratch / INT8)
    if not is_installed("openvino"):
        left_out.append("the extra openvino is not installed")
        return tuple(left_out)
    onnx.save(take_detection(artifact), scratch / DETECTION)
    if sample is not None:
        onnx.save(without_needless_roundings(heads_graph(made)), scratch / NETWORK["int8"])
    if has_bf16():
        onnx.save(heads_graph(artifact), scratch / NETWORK["bf16"])
    else:
        left_out.append("this CPU does not compute in bf16")
    return tuple(left_out)


def _measure(
    source: Path, scratch: Path, sample: Sample | None, settings: Settings, left_out: tuple[str, ...]
) -> VariantReport:
    original = Runtime(source, "cpu", settings.threads)
    spec = original.spec
    opened = _open(scratch, spec, settings.threads)
    detectors: list[ImageDetector] = [original, *(detector for _, _, detector in opened)]
    precisions: Sequence[float | None] = [None] * len(detectors)
    if sample is not None and opened:
        precisions = average_precisions(detectors, _judged(sample, original))
    fastest = _fastest_ms(detectors, _timed_images(sample, spec))
    before = precisions[0]
    return VariantReport(
        sha256=original.sha256,
        measure=None if sample is None else "agreement" if sample.labeled is None else "labels",
        ap=before,
        data=None if sample is None else sample.name,
        calibration_images=0 if sample is None else len(sample.calibration.paths),
        measured_images=0 if sample is None else len(sample.paths),
        variants=tuple(
            Variant(
                precision=precision,
                engine=engine,
                ap=ap,
                ap_drop=None if ap is None or before is None else before - ap,
                speedup=fastest[0] / ms,
            )
            for (precision, engine, _), ap, ms in zip(opened, precisions[1:], fastest[1:], strict=True)
        ),
        left_out=left_out,
    )


def _open(scratch: Path, spec: DetectorSpec, threads: int) -> list[tuple[VariantPrecision, Engine, VariantDetector]]:
    """Return the detectors whose files were written."""
    files: list[tuple[VariantPrecision, Engine, str]] = [
        ("int8", "onnxruntime", INT8),
        ("int8", "openvino", NETWORK["int8"]),
        ("bf16", "openvino", NETWORK["bf16"]),
    ]
    return [
        (precision, engine, open_variant(scratch, precision, engine, spec, threads))
        for precision, engine, file in files
        if (scratch / file).exists()
    ]


def _judged(sample: Sample, original: Runtime) -> Iterator[JudgedImage]:
    if sample.labeled is None:
        return with_own_detections(sample.paths, original)
    chosen = set(sample.paths)
    return with_labels([image for image in sample.labeled.images if image.path in chosen], original.spec)


def _timed_images(sample: Sample | None, spec: DetectorSpec) -> list[NDArray[Any]]:
    if sample is None:
        return list(synthetic_images(spec))
    return [preprocess(read_image(path), spec)[0] for path in sample.paths[:_TIMED]]


def _fastest_ms(detectors: Sequence[ImageDetector], images: Sequence[NDArray[Any]]) -> list[float]:
    """Return the least milliseconds of each detector over rounds in turns: what disturbs one round is left out."""
    position = count()
    nms = detectors[0].spec.nms

    def run(detector: ImageDetector) -> None:
        image = images[next(position) // len(detectors) % len(images)]
        detector.detect(image[None], [nms.score_threshold], [nms.iou_threshold])

    times = times_in_turns_ms([partial(run, detector) for detector in detectors], _ROUNDS)
    return [float(ms) for ms in times.min(axis=0)]


def _show(report: VariantReport, settings: Settings, folder: Path) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(title="Variants, beside fp32 on this machine", title_justify="left")
    table.add_column("")
    for heading in ("AP", "loss of AP", "times as fast"):
        table.add_column(heading, justify="right")
    table.add_row("fp32", _number(report.ap), "", "1.00")
    for one in report.variants:
        table.add_row(one.name, _number(one.ap), _number(one.ap_drop), f"{one.speedup:.2f}")
    console.print(table)
    for line in (*_measured_on(report), *report.left_out, _taken(report, settings), f"in {folder}"):
        console.print(line, soft_wrap=True)


def _measured_on(report: VariantReport) -> Iterator[str]:
    if report.measure is not None:
        against = "labels" if report.measure == "labels" else "what fp32 finds in them at 7/8 of the size"
        yield (
            f"AP: {report.measured_images} images of {report.data} against {against}; "
            f"int8 calibrated on {report.calibration_images} others"
        )


def _taken(report: VariantReport, settings: Settings) -> str:
    variant, why = choose(report, "auto", settings.max_ap_drop)
    return f"the service takes {variant.name if variant else 'fp32'}: {why}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
