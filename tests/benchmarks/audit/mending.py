"""Worth of mending labels: one recipe trained on BCCD's labels as published, as audits mend them, and as people did.

``python -m tests.benchmarks.audit.mending --output FOLDER`` keeps its data sets and runs there and goes on. Label sets:
``published``; ``mended`` by ``yoloscope audit apply --accept-above``, one for each bound; ``completed``, published and
each object of the second annotation that has no label; ``reviewed``, the second annotation itself. The last two are
what any audit could reach at most, and exist for 90 images of train: ``--only-reviewed`` trains on those alone.
Nothing is validated on: the last weights count. Measured on the second annotation of val and the published labels of
test: AP, and precision and recall at the score threshold of detection.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.benchmarks.audit.data import REVIEWED_CLASSES, with_objects
from tests.benchmarks.audit.peers import iou
from tests.benchmarks.report import heading
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.checkpoint.files import LAST
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.config import TrainingConfig, find_config
from yoloscope.training.data.annotations import ImageLabels, LabelObject, parse_labels
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage, open_dataset
from yoloscope.training.data.splits import Splits
from yoloscope.training.diagnostics.audit import AuditedModel, LabelAuditor, collect_report
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.decisions import accept_above
from yoloscope.training.diagnostics.findings import AuditReport
from yoloscope.training.diagnostics.mending import mend
from yoloscope.training.diagnostics.run import CHUNK
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.evaluation.evaluate import Evaluation, evaluate
from yoloscope.training.evaluation.predict import PredictionSettings
from yoloscope.training.train import train_network

MEASURES = ("AP", "AP50", "AP75", "precision", "recall")
RESULT = "result.json"
ON_AN_OBJECT_IOU = 0.5


def reviewed(dataset: DetectionDataset, folder: Path) -> DetectionDataset:
    """Return the images that were annotated a second time, with those labels."""
    return replace(dataset, images=tuple(_reviewed_images(dataset, folder)))


def _reviewed_images(dataset: DetectionDataset, folder: Path) -> Iterator[LabeledImage]:
    for image in dataset.images:
        path = folder / "labels" / f"{image.path.stem}.txt"
        if path.is_file():
            labels = parse_labels(
                path.read_bytes(), class_names=REVIEWED_CLASSES, image_width=image.width, image_height=image.height
            )
            yield with_objects(image, _in_classes(labels, dataset.class_names))


def completed(published: DetectionDataset, second: DetectionDataset) -> DetectionDataset:
    """Return the images of ``second`` with the published labels and its own objects that none of those is on."""
    own = {image.path: image for image in published.images}
    images = []
    for image in second.images:
        objects = own[image.path].labels.objects
        boxes = own[image.path].labels.boxes_xyxy_px.reshape(-1, 4)
        free = iou(image.labels.boxes_xyxy_px.reshape(-1, 4), boxes).max(1, initial=0.0) < ON_AN_OBJECT_IOU
        added = [label for label, is_free in zip(image.labels.objects, free, strict=True) if is_free]
        images.append(with_objects(image, (*objects, *added)))
    return replace(published, images=tuple(images))


def _in_classes(labels: ImageLabels, names: Sequence[str]) -> list[LabelObject]:
    return [replace(label, class_id=names.index(REVIEWED_CLASSES[label.class_id])) for label in labels.objects]


def audit_train(dataset: DetectionDataset, model: Path, root: Path) -> AuditReport:
    """Return the report of an audit of the training images."""
    runtime = Runtime(model, "cpu")
    dataset = dataset.for_model(runtime.spec.class_names)
    calibration = AuditCalibration.of_spec(runtime.spec)
    if calibration is None:
        raise SystemExit(f"expected a calibrated model, got {model}")
    auditor = LabelAuditor(runtime, calibration)
    parts = [dataset.images[start : start + CHUNK] for start in range(0, len(dataset), CHUNK)]
    audits = [audit for part in parts for audit in auditor.audit(part, root)]
    return collect_report(auditor, AuditedModel(model.stem, runtime.version, seen=True), dataset, audits)


def mended(report: AuditReport, root: Path, copy: Path, bound: float) -> DetectionDataset:
    """Return the training images of a corrected copy, which is written unless it is there."""
    accepted = accept_above(report, bound).accepted
    if not copy.exists():
        print(f"{copy.name}: {mend(accepted, root, copy, split='train', images='link').counts}")
    return open_dataset(copy, "train")


def run(
    config: TrainingConfig, train: DetectionDataset, parts: Mapping[str, DetectionDataset], folder: Path
) -> dict[str, dict[str, float]]:
    """Train, and return the measures on each part; a run that is there already is taken."""
    known = folder / RESULT
    if known.is_file():
        result: dict[str, dict[str, float]] = json.loads(known.read_text("utf-8"))
        return result
    trained = train_network(config, train.source, folder, resume=(folder / LAST).is_file(), splits=Splits(train, None))
    if trained.signal is not None:
        raise KeyboardInterrupt
    network = load_checkpoint_network(folder / LAST)
    detector = TorchDetector(network, network.spec)
    settings = PredictionSettings(iou_threshold=network.spec.nms.iou_threshold, batch_size=8)
    result = {
        name: measures(evaluate(detector, part.for_model(network.spec.class_names), settings))
        for name, part in parts.items()
    }
    known.write_text(json.dumps(result), encoding="utf-8")
    return result


def measures(found: Evaluation) -> dict[str, float]:
    """Return COCO's numbers, and precision and recall of all classes together at the threshold of detection."""
    matrix = found.confusion.matrix
    hits = float(np.diagonal(matrix)[:-1].sum())
    shares = {"precision": hits / max(matrix[:, :-1].sum(), 1), "recall": hits / max(matrix[:-1].sum(), 1)}
    return {**found.coco.numbers, **shares}


def label_sets(options: argparse.Namespace, root: Path, reviews: Path) -> dict[str, DetectionDataset]:
    """Return the training images under each set of labels."""
    published = open_dataset(root, "train")
    report = audit_train(published, options.model, root)
    sets = {"published": published}
    for bound in options.accept_above:
        sets[f"mended-{bound:g}"] = mended(report, root, options.output / f"bccd-{bound:g}", bound)
    if options.only_reviewed:
        second = reviewed(published, reviews)
        stems = {image.path.stem for image in second.images}
        for name, one in sets.items():
            sets[name] = replace(one, images=tuple(image for image in one.images if image.path.stem in stems))
        sets |= {"completed": completed(published, second), "reviewed": second}
    return sets


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--model", type=Path, default=BUILTIN)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--accept-above", type=float, nargs="*", default=[0.9])
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="as in a configuration")
    parser.add_argument("--only-reviewed", action="store_true", help="train on the 90 images with a second annotation")
    options = parser.parse_args()
    root, reviews = (options.shared / "data" / "bccd").resolve(), options.shared / "data" / "bccd-reviewed"
    parts = {
        "reviewed labels of val": reviewed(open_dataset(root, "val"), reviews),
        "published labels of test": open_dataset(root, "test"),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    trains = label_sets(options, root, reviews)
    recipe = f"one recipe (bccd-tiny, {options.epochs} epochs, {options.precision}, no validation)"
    print(heading(f"{recipe} on several sets of labels", "torch"))
    for name, train in trains.items():
        print(f"  {name}: {sum(train.objects_per_class)} labels in {len(train)} images")
    config = find_config("bccd-tiny").replace(epochs=options.epochs, precision=options.precision)
    config = config.replace(data=config.data.model_dump() | {"val": None})
    scope = "of-90" if options.only_reviewed else "of-all"
    results: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trains}
    for seed in options.seeds:
        for name, train in trains.items():
            folder = options.output / f"{name}-{scope}-{seed}"
            results[name].append(run(config.replace(seed=seed), train, parts, folder))
    for part, images in parts.items() if options.seeds else ():
        print(f"{part}: {len(images)} images")
        for name, runs in results.items():
            values = {measure: [one[part][measure] for one in runs] for measure in MEASURES}
            shown = "  ".join(f"{key} {np.mean(own):.3f} +- {np.std(own):.3f}" for key, own in values.items())
            print(f"  {name:12} {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
