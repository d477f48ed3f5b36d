"""Worth of mending labels: one recipe trained on BCCD's labels as published and as an audit mends them.

Both are measured on the second annotation of val and on the published labels of test. Nothing is validated on: the
last weights count. ``python -m tests.benchmarks.audit.mending --output FOLDER`` keeps its runs there and goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.benchmarks.audit.data import REVIEWED_CLASSES
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
from yoloscope.training.diagnostics.findings import Finding
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.evaluation.evaluate import evaluate
from yoloscope.training.evaluation.predict import PredictionSettings
from yoloscope.training.train import train_network

MEASURES = ("AP", "AP50", "AP75")
RESULT = "result.json"


def mended(dataset: DetectionDataset, findings: Sequence[Finding], root: Path) -> DetectionDataset:
    """Return the data set after the accepted edits."""
    index = {name: class_id for class_id, name in enumerate(dataset.class_names)}
    by_image: dict[str, list[Finding]] = {}
    for finding in findings:
        by_image.setdefault(finding.image, []).append(finding)
    images = []
    for image in dataset.images:
        edits = by_image.get(image.path.relative_to(root).as_posix(), [])
        images.append(_mended_image(image, edits, index))
    return replace(dataset, images=tuple(images))


def _mended_image(image: LabeledImage, edits: Sequence[Finding], index: dict[str, int]) -> LabeledImage:
    objects: list[LabelObject | None] = list(image.labels.objects)
    for edit in edits:
        if edit.label_index is None:
            objects.append(LabelObject(index[edit.class_name], edit.class_name, edit.box_xyxy_px, ""))
        elif edit.suggestion is None:
            objects[edit.label_index] = None
        else:
            label = objects[edit.label_index]
            name = edit.suggestion.class_name
            objects[edit.label_index] = label and replace(
                label, class_id=index[name], class_name=name, box_xyxy_px=edit.suggestion.box_xyxy_px
            )
    return _with_objects(image, [label for label in objects if label is not None])


def _with_objects(image: LabeledImage, objects: Sequence[LabelObject]) -> LabeledImage:
    labels = replace(image.labels, objects=tuple(objects))
    sizes = labels.boxes_xyxy_px[:, 2:] - labels.boxes_xyxy_px[:, :2]
    return replace(image, labels=labels, areas_px=tuple(np.prod(sizes, axis=1).tolist()))


def reviewed(dataset: DetectionDataset, folder: Path) -> DetectionDataset:
    """Return the images that were annotated a second time, with those labels."""
    images = []
    for image in dataset.images:
        path = folder / "labels" / f"{image.path.stem}.txt"
        if path.is_file():
            labels = parse_labels(
                path.read_bytes(),
                class_names=REVIEWED_CLASSES,
                image_width=image.width,
                image_height=image.height,
            )
            images.append(_with_objects(image, _in_classes(labels, dataset.class_names)))
    return replace(dataset, images=tuple(images))


def _in_classes(labels: ImageLabels, names: Sequence[str]) -> list[LabelObject]:
    return [replace(label, class_id=names.index(REVIEWED_CLASSES[label.class_id])) for label in labels.objects]


def audit_train(dataset: DetectionDataset, model: Path, root: Path, bound: float) -> tuple[Finding, ...]:
    """Return the findings of an audit of at least a probability, one per label."""
    runtime = Runtime(model, "cpu")
    dataset = dataset.for_model(runtime.spec.class_names)
    calibration = AuditCalibration.of_spec(runtime.spec)
    if calibration is None:
        raise SystemExit(f"expected a calibrated model, got {model}")
    auditor = LabelAuditor(runtime, calibration)
    audits = auditor.audit(dataset.images, root)
    report = collect_report(auditor, AuditedModel(model.stem, runtime.version, seen=True), dataset, audits)
    return accept_above(report, bound).accepted


def run(
    config: TrainingConfig, train: DetectionDataset, parts: dict[str, DetectionDataset], folder: Path
) -> dict[str, dict[str, float]]:
    """Train, and return COCO's numbers on each part; a run that is there already is taken."""
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
        name: dict(evaluate(detector, part.for_model(network.spec.class_names), settings).coco.numbers)
        for name, part in parts.items()
    }
    known.write_text(json.dumps(result), encoding="utf-8")
    return result


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--model", type=Path, default=BUILTIN)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--accept-above", type=float, default=0.9)
    options = parser.parse_args()
    root = (options.shared / "data" / "bccd").resolve()
    original = open_dataset(root, "train")
    parts = {
        "reviewed labels of val": reviewed(open_dataset(root, "val"), options.shared / "data" / "bccd-reviewed"),
        "published labels of test": open_dataset(root, "test"),
    }
    findings = audit_train(original, options.model, root, options.accept_above)
    trains = {"published": original, "mended": mended(original, findings, root)}
    print(heading(f"one recipe (bccd-tiny, {options.epochs} epochs) on labels as published and mended", "torch"))
    counts = Counter(finding.kind for finding in findings)
    print(f"accepted above {options.accept_above:g}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
    config = find_config("bccd-tiny").replace(epochs=options.epochs)
    config = config.replace(data=config.data.model_dump() | {"val": None})
    results: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trains}
    for seed in range(options.seeds):
        for name, train in trains.items():
            results[name].append(run(config.replace(seed=seed), train, parts, options.output / f"{name}-{seed}"))
    for part, images in parts.items():
        print(f"{part}: {len(images)} images")
        for name, runs in results.items():
            values = {measure: [one[part][measure] for one in runs] for measure in MEASURES}
            shown = "  ".join(f"{key} {np.mean(own):.3f} +- {np.std(own):.3f}" for key, own in values.items())
            print(f"  {name:10} {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
