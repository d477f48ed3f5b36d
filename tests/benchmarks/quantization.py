"""What 8 bits cost and bring: ``python -m tests.benchmarks.quantization [--coco FOLDER] [--bccd FOLDER --model FILE]``.

The official yolov4-tiny on coco128, calibrated twice: on every other image to be measured on those between, and the
other way round, so that no image is measured by a file that was calibrated on it; AP is over all of them. A model of
one's own on BCCD's test images, calibrated on its train images. ``plain`` is static quantization of everything,
ranges from the extremes. Times are medians in turns with the float32 file, detection at score .25 included, on one
thread and on two.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import onnx

from tests.benchmarks.report import heading
from yoloscope.app.hub import ensure_artifact
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import load_settings
from yoloscope.models.preprocess import preprocess
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.evaluation.coco import evaluate_coco
from yoloscope.training.evaluation.predict import EvaluatedImage, PredictionSettings, Truth, predict_images
from yoloscope.training.export.compare import Latency, time_both
from yoloscope.training.export.precision import make_fp16, make_int8
from yoloscope.training.export.quantization.int8 import Int8Settings
from yoloscope.training.export.quantization.ranges import CalibrationImages

DATA: Final = Path(os.environ.get("DATA_DIR", Path(__file__).resolve().parents[3] / "shared" / "data"))
IMAGES, TIMED = 64, 16
THREADS: Final = (1, 2)
INT8: Final = {"int8, plain": Int8Settings(float_share=0, method="extremes"), "int8": Int8Settings()}
Part = tuple[CalibrationImages, DetectionDataset]


@dataclass(frozen=True)
class Row:
    """A file (or one per part of the data), its detections, and its times beside float32's on 1 and 2 threads."""

    name: str
    images: tuple[EvaluatedImage, ...]
    megabytes: float
    timings: tuple[Latency, ...]
    remark: str = ""


def calibration(dataset: DetectionDataset, name: str) -> CalibrationImages:
    """Return at most 64 images of a data set, evenly spread."""
    step = -(-len(dataset) // IMAGES)
    return CalibrationImages(name, tuple(image.path for image in dataset.images[::step]))


def halves(dataset: DetectionDataset) -> list[Part]:
    """Return each half of a data set with the other one to calibrate on."""
    even, odd = (replace(dataset, images=dataset.images[start::2]) for start in (0, 1))
    return [(calibration(even, "even images"), odd), (calibration(odd, "odd images"), even)]


def measure(name: str, source: Path, changed: Sequence[Path], parts: Sequence[Part], remark: str = "") -> Row:
    """Evaluate one file for each part and time the first beside the source."""
    images: list[EvaluatedImage] = []
    for path, (_, dataset) in zip(changed, parts, strict=True):
        runtime = Runtime(path, "cpu", THREADS[-1])
        settings = PredictionSettings(iou_threshold=runtime.spec.nms.iou_threshold)
        images.extend(
            EvaluatedImage(done.image.image_id, Truth.of_image(done.image), done.detections)
            for done in predict_images(runtime, dataset.images, settings)
        )
    timed = [preprocess(image.read(), runtime.spec)[0] for image in parts[0][1].images[:TIMED]]
    timings = tuple(
        time_both(Runtime(source, "cpu", threads), Runtime(changed[0], "cpu", threads), timed) for threads in THREADS
    )
    return Row(name, tuple(images), changed[0].stat().st_size / 1e6, timings, remark)


def compare(title: str, source: Path, parts: Sequence[Part]) -> None:
    """Print the table of one model."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.onnx") for number in range(len(parts))]
        rows = [measure("fp32", source, [source] * len(parts), parts)]
        for path in paths:
            onnx.save(make_fp16(source), path)
        rows.append(measure("fp16", source, paths, parts))
        for name, settings in INT8.items():
            kept = []
            for path, (images, _) in zip(paths, parts, strict=True):
                model, made = make_int8(source, images, settings)
                onnx.save(model, path)
                kept.append(f"{made.method}; in float: {', '.join(made.float_layers) or 'nothing'}")
            rows.append(measure(name, source, paths, parts, " / ".join(kept)))
    print(heading(title, "onnxruntime-gpu"))
    times = "".join(f" ms, {threads} thr. | times as fast |" for threads in THREADS)
    print(f"| | AP | AP50 | change of AP | MB |{times} ranges |\n|" + "---|" * (6 + 2 * len(THREADS)))
    num_classes = len(parts[0][1].class_names)
    numbers = [evaluate_coco(row.images, num_classes).numbers for row in rows]
    for row, found in zip(rows, numbers, strict=True):
        change = found["AP"] - numbers[0]["AP"]
        times = "".join(f" {timing.changed_ms:.1f} | {timing.speedup:.2f} |" for timing in row.timings)
        print(
            f"| {row.name} | {found['AP']:.4f} | {found['AP50']:.4f} | {change:+.4f} | {row.megabytes:.2f} |"
            f"{times} {row.remark} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table for each model whose data is at hand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coco", type=Path, default=DATA / "coco128")
    parser.add_argument("--bccd", type=Path, default=DATA / "bccd")
    parser.add_argument("--model", type=Path, help="a model trained on BCCD")
    options = parser.parse_args(arguments)
    if options.coco.is_dir():
        source = ensure_artifact("yolov4-tiny", load_settings())
        names = Runtime(source, "cpu", 1).spec.class_names
        compare("yolov4-tiny on coco128", source, halves(open_dataset(options.coco).for_model(names)))
    else:
        print(f"needs coco128, expected at {options.coco}")
    if options.model is not None and options.bccd.is_dir():
        names = Runtime(options.model, "cpu", 1).spec.class_names
        train, test = (open_dataset(options.bccd, split).for_model(names) for split in ("train", "test"))
        compare(f"{options.model.stem} on BCCD's test images", options.model, [(calibration(train, "train"), test)])


if __name__ == "__main__":
    main()
