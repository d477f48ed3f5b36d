"""Audits against real and injected label errors: ``python -m tests.benchmarks.audit [real|injected|speed|folds]``.

Without a part all but ``folds``, which trains networks for hours (tests/benchmarks/audit/out_of_fold.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from tests.benchmarks.audit import injected, real, speed
from tests.benchmarks.audit.data import calibrate_images, load_images
from tests.benchmarks.audit.out_of_fold import judge_folds, print_folds
from tests.benchmarks.report import heading
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.zoo import BUILTIN
from yoloscope.training.config import find_config
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.diagnostics.calibrate import TILED_VIEWS, VIEWS
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.logs import log_to_stderr

EPOCHS = 12


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("real", "injected", "speed", "folds", "all"), default="all")
    parser.add_argument(
        "--shared", type=Path, default=Path("../shared"), help="folder of data/bccd, data/bccd-reviewed"
    )
    parser.add_argument("--model", type=Path, default=BUILTIN, help="model for BCCD; default: the built-in one")
    parser.add_argument("--coco", type=Path, help="yolov4-tiny.onnx, for injected errors on coco128")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="folder of the networks of folds, which are trained unless there")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of bccd-tiny that folds are trained for")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of training folds, as in a configuration"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "folds":
        if options.output is None:
            parser.error("folds: expected --output with a folder for the networks, got none")
        _folds(options)
        return 0
    if options.part in ("real", "all"):
        _real(options.shared / "data", options.model)
    if options.part in ("speed", "all"):
        _speed(options.shared / "data", options.model)
    if options.part in ("injected", "all"):
        _injected(options.shared / "data", options.model, options.coco, options.seeds)
    return 0


def _real(data: Path, model: Path) -> None:
    runtime = Runtime(model, "cpu")
    names = runtime.spec.class_names
    print(heading(f"real label errors: BCCD (val) against its second annotation, model {model.stem}", "torch"))
    images = load_images(runtime, data / "bccd", "val")
    reviewed = real.reviewed_images(images, data / "bccd-reviewed", names)
    chosen = [one.image for one in reviewed]
    calibration = AuditCalibration.of_spec(runtime.spec)
    unseen = load_images(runtime, data / "bccd", "test")
    lists = real.peers_missing(chosen) | {"yoloscope score": real.unexplained(chosen, runtime.spec)}
    if calibration is not None:
        lists["yoloscope audit"] = real.ours_missing(chosen, runtime.spec, calibration)
    lists["the same, test's labels"] = real.ours_missing(chosen, runtime.spec, calibrate_images(unseen, names))
    real.print_missing(lists, reviewed)
    real.print_labels(reviewed, runtime.spec, calibration or calibrate_images(unseen, names))
    print()


def _folds(options: argparse.Namespace) -> None:
    config = find_config("bccd-tiny").replace(epochs=options.epochs, precision=options.precision)
    dataset = open_dataset((options.shared / "data" / "bccd").resolve(), None)
    with log_to_stderr():
        judged = [
            judge_folds(
                dataset,
                seed,
                config,
                options.folds,
                options.output / f"seed-{seed}",
                progress_bar=sys.stderr.isatty(),
            )
            for seed in range(options.seeds)
        ]
    recipe = (
        f"bccd-tiny, {options.epochs} epochs ({options.precision}), {options.folds} folds trained on the noisy labels"
    )
    print(heading(f"injected label errors: BCCD ({len(dataset)} images), {recipe}", "torch"))
    print_folds(judged)


def _speed(data: Path, model: Path) -> None:
    runtime = Runtime(model, "cpu")
    images = [image for split in ("train", "val", "test") for image in load_images(runtime, data / "bccd", split)]
    calibration = AuditCalibration.of_spec(runtime.spec) or calibrate_images(images, runtime.spec.class_names)
    print(heading(f"time of an audit of BCCD, model {model.stem}, one thread", "torch"))
    speed.print_times(images, runtime.spec, calibration)


def _injected(data: Path, model: Path, coco: Path | None, seeds: int) -> None:
    runtime = Runtime(model, "cpu")
    images = [image for split in ("val", "test") for image in load_images(runtime, data / "bccd", split)]
    print(heading(f"injected label errors: BCCD (val and test), model {model.stem}", "torch"))
    injected.print_tables([images] * seeds, runtime.spec)
    if coco is not None:
        runtime = Runtime(coco, "cpu")
        for name, views in (("two views", VIEWS), ("with tiles", TILED_VIEWS)):
            print(heading(f"injected label errors: coco128, model {coco.stem}, {name}", "torch"))
            images = load_images(runtime, data / "coco128", "train", views)
            injected.print_tables([images] * seeds, runtime.spec)


if __name__ == "__main__":
    sys.exit(main())
