"""Findings in coco128 looked at one by one: ``python -m tests.benchmarks.audit.by_eye --coco yolov4-tiny.onnx``.

Prints how many of the first findings of an audit and of other methods, equally many of each, are faults of the labels.
The verdicts are in by_eye.csv (``fault``: a careful annotator by COCO's rules would change this label, ``unclear``:
the image does not tell, ``right``); the boxes there are labels of COCO, CC BY 4.0, and detections. ``--sheets FOLDER``
draws what has no verdict yet: the label orange, the suggestion blue, other labels white.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.benchmarks.audit.data import BenchImage, label_boxes, load_images
from tests.benchmarks.audit.peers import (
    Boxes,
    Floats,
    iou,
    least_similarity,
    mistakenness,
    object_lab,
    unmatched_confidence,
)
from tests.benchmarks.report import heading
from yoloscope.app.services.runtime import Runtime
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import DetectionDataset, open_dataset
from yoloscope.training.diagnostics.dataset_audit import AuditOptions, audit_by_model, run_audit
from yoloscope.training.diagnostics.findings import FindingKind

VERDICTS: Final = Path(__file__).with_suffix(".csv")
FAULT, UNCLEAR, RIGHT = "fault", "unclear", "right"
SAME_IOU: Final = 0.8
COLUMNS: Final = 4
CROP_PX: Final = 440
CAPTION_PX: Final = 34


@dataclass(frozen=True)
class Suspect:
    """What a method takes for a fault: a label, or of ``missing`` the detection that has none.

    ``other_box`` is where the detection is that speaks against the label, if any, and ``other_class`` its class.
    """

    image: str
    kind: FindingKind
    class_name: str
    box_xyxy_px: BoxXyxy
    score: float
    other_class: str = ""
    other_box: BoxXyxy | None = None

    def is_at(self, image: str, kind: str, class_name: str, box: BoxXyxy) -> bool:
        """Return whether this is the suspect of that kind, class and place."""
        if (self.image, self.kind, self.class_name) != (image, kind, class_name):
            return False
        return float(iou(np.array([self.box_xyxy_px]), np.array([box]))[0, 0]) >= SAME_IOU


@dataclass(frozen=True)
class Verdict:
    """A row of by_eye.csv."""

    image: str
    kind: str
    class_name: str
    box_xyxy_px: BoxXyxy
    verdict: str
    why: str = ""


def read_verdicts(path: Path = VERDICTS) -> list[Verdict]:
    """Return the verdicts of a file; raise SystemExit where one is no known word."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Verdict(row["image"], row["kind"], row["class"], _box(row), row["verdict"], row["why"])
            for row in csv.DictReader(file)
        ]
    unknown = {row.verdict for row in rows} - {FAULT, UNCLEAR, RIGHT}
    if unknown:
        raise SystemExit(f"{path}: expected the verdicts {FAULT}, {UNCLEAR} and {RIGHT}, got {', '.join(unknown)}")
    return rows


def _box(row: dict[str, str]) -> BoxXyxy:
    return float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"])


def verdict_of(suspect: Suspect, verdicts: Sequence[Verdict]) -> str | None:
    """Return what was said of a suspect, None where nobody looked at it."""
    same = (one for one in verdicts if suspect.is_at(one.image, one.kind, one.class_name, one.box_xyxy_px))
    found = next(same, None)
    return None if found is None else found.verdict


def audited(runtime: Runtime, dataset: DetectionDataset, data: Path, *, tiles: bool) -> list[Suspect]:
    """Return the findings of ``yoloscope audit``, the most probable first; each label once."""
    name = runtime.path.stem, runtime.version
    auditing, own = audit_by_model(runtime, name, dataset, data, AuditOptions(tiles=tiles))
    seen: set[tuple[str, int]] = set()
    suspects = []
    for one in run_audit(auditing, own).findings:
        if one.label_index is not None:
            if (one.image, one.label_index) in seen:
                continue
            seen.add((one.image, one.label_index))
        other = (one.suggestion.class_name, one.suggestion.box_xyxy_px) if one.suggestion else ("", None)
        stem = Path(one.image).stem
        suspects.append(Suspect(stem, one.kind, one.class_name, one.box_xyxy_px, one.probability, *other))
    return suspects


def by_peers(images: Sequence[BenchImage], names: Sequence[str]) -> dict[str, list[Suspect]]:
    """Return what other methods suspect, by name, the most suspicious first; each label once.

    FiftyOne's possible_spurious is left out: it has no order.
    """
    pairs = [(label_boxes(image.labels)[0], image.detections()) for image in images]
    least = least_similarity(pairs)
    high = float(np.quantile(np.concatenate([found.scores for _, found in pairs]), 0.75))
    lists = defaultdict[str, list[Suspect]](list)
    for image, (labels, found) in zip(images, pairs, strict=True):
        case = _Case(image.name, labels, found, names)
        rated = mistakenness(labels, found, gate=0.0)
        lists["confidence, no gate"] += case.missing(unmatched_confidence(labels, found))
        lists["FiftyOne, no gate"] += [*case.missing(rated.missing), *case.labels(rated.classes, rated.location)]
        for name, thresholds in {"ObjectLab": (0.95, 0.5), "ObjectLab matched": (high, high)}.items():
            lab = object_lab(labels, found, least, *thresholds)
            lists[name] += [*case.missing(lab.overlooked), *case.labels(lab.swapped, lab.badly_located)]
    return {name: sorted(suspects, key=lambda one: -one.score) for name, suspects in lists.items()}


@dataclass(frozen=True)
class _Case:
    """Labels and detections of an image."""

    image: str
    own: Boxes
    found: Boxes
    names: Sequence[str]

    def missing(self, scores: Floats) -> Iterator[Suspect]:
        for row in np.flatnonzero(scores >= 0):
            name, box = self.names[self.found.classes[row]], _corners(self.found, row)
            yield Suspect(self.image, "missing", name, box, scores[row], name, box)

    def labels(self, classes: Floats, location: Floats) -> Iterator[Suspect]:
        overlap = iou(self.own.xyxy, self.found.xyxy) * self.found.scores
        for row, (by_class, by_place) in enumerate(zip(classes, location, strict=True)):
            same = self.found.classes == self.own.classes[row]
            against = np.where(~same if by_class >= by_place else same, overlap[row], 0.0)
            best = int(against.argmax()) if against.any() else None
            yield Suspect(
                self.image,
                "class" if by_class >= by_place else "location",
                self.names[self.own.classes[row]],
                _corners(self.own, row),
                max(by_class, by_place),
                "" if best is None else self.names[self.found.classes[best]],
                None if best is None else _corners(self.found, best),
            )


def _corners(boxes: Boxes, row: int | np.integer) -> BoxXyxy:
    x1, y1, x2, y2 = boxes.xyxy[row].tolist()
    return x1, y1, x2, y2


def print_shares(lists: dict[str, list[Suspect]], verdicts: Sequence[Verdict]) -> None:
    """Print how many suspects of each method are faults, with the 95 % interval (Wilson's) of that share."""
    print(
        f"{'method':22} {'listed':>6} {FAULT:>6} {UNCLEAR:>8} {RIGHT:>6} {'no verdict':>10} {'share':>6} 95 % interval"
    )
    for name, suspects in lists.items():
        said = [verdict_of(suspect, verdicts) for suspect in suspects]
        faults = said.count(FAULT)
        low, high = wilson(faults, len(said))
        counts = f"{faults:6} {said.count(UNCLEAR):8} {said.count(RIGHT):6} {said.count(None):10}"
        print(f"{name:22} {len(said):6} {counts} {faults / len(said):6.2f} {low:.2f} to {high:.2f}")


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    share, room = hits / count, z * z / count
    middle = (share + room / 2) / (1 + room)
    half = math.sqrt(share * (1 - share) * room + room * room / 4) / (1 + room)
    return middle - half, middle + half


def draw_sheets(suspects: Sequence[Suspect], dataset: DetectionDataset, folder: Path, on_sheet: int = 8) -> None:
    """Draw crops of suspects, numbered, in files of ``folder``, and list them in suspects.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "suspects.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("number", "image", "kind", "class", "x1", "y1", "x2", "y2", "other", "verdict"))
        for number, one in enumerate(suspects):
            corners = (f"{value:.1f}" for value in one.box_xyxy_px)
            rows.writerow((number, one.image, one.kind, one.class_name, *corners, one.other_class, ""))
    crops = [_draw(number, one, dataset) for number, one in enumerate(suspects)]
    for start in range(0, len(crops), on_sheet):
        part = crops[start : start + on_sheet]
        sheet = Image.new("RGB", (COLUMNS * CROP_PX, -(-len(part) // COLUMNS) * (CROP_PX + CAPTION_PX)), "black")
        for position, crop in enumerate(part):
            sheet.paste(crop, (position % COLUMNS * CROP_PX, position // COLUMNS * (CROP_PX + CAPTION_PX)))
        sheet.save(folder / f"sheet-{start // on_sheet:02}.png")


def _draw(number: int, suspect: Suspect, dataset: DetectionDataset) -> Image.Image:
    labeled = next(image for image in dataset.images if image.path.stem == suspect.image)
    whole = Image.open(labeled.path).convert("RGB")
    corners = np.array([suspect.box_xyxy_px, suspect.other_box or suspect.box_xyxy_px])
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    side = max(float((high - low).max()) * 1.8, 120.0)
    left, top = (low + high - side) / 2
    scale = CROP_PX / side
    crop = whole.crop((round(left), round(top), round(left + side), round(top + side)))
    crop = crop.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(crop), ImageFont.load_default(14)

    def outline(box: BoxXyxy, color: str, width: int) -> tuple[float, float]:
        x1, y1, x2, y2 = ((np.array(box) - (left, top) * 2) * scale).tolist()
        draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=color, width=width)
        return max(x1, 0) + 3, max(y1, 0) + 2

    for label in labeled.labels.objects:
        at = outline(label.box_xyxy_px, "white", 1)
        draw.text(
            at, label.class_name + ("*" if label.crowd else ""), "white", font, stroke_width=1, stroke_fill="black"
        )
    if suspect.other_box is not None:
        outline(suspect.other_box, "deepskyblue", 2)
    if suspect.kind != "missing":
        outline(suspect.box_xyxy_px, "orange", 2)
    tile = Image.new("RGB", (CROP_PX, CROP_PX + CAPTION_PX), "black")
    tile.paste(crop, (0, CAPTION_PX))
    words = f"{number} {suspect.kind}: {suspect.class_name}"
    words += f" > {suspect.other_class}" if suspect.kind != "missing" and suspect.other_class else ""
    ImageDraw.Draw(tile).text((4, 6), f"{words}  ({suspect.image[-6:]})", "yellow", ImageFont.load_default(18))
    return tile


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/coco128")
    parser.add_argument("--coco", type=Path, required=True, help="yolov4-tiny.onnx")
    parser.add_argument("--count", type=int, default=50, help="findings of each method")
    parser.add_argument("--sheets", type=Path, help="folder for drawings of what has no verdict")
    options = parser.parse_args()
    data = options.shared / "data" / "coco128"
    runtime = Runtime(options.coco, "cpu", 1)
    dataset = open_dataset(data, "train").for_model(runtime.spec.class_names)
    lists = {
        "yoloscope": audited(runtime, dataset, data, tiles=False),
        "yoloscope --tiles": audited(runtime, dataset, data, tiles=True),
        **by_peers(load_images(runtime, data, "train"), runtime.spec.class_names),
    }
    first = {name: suspects[: options.count] for name, suspects in lists.items()}
    verdicts = read_verdicts()
    if options.sheets is not None:
        unseen: list[Suspect] = []
        for one in (one for suspects in first.values() for one in suspects if verdict_of(one, verdicts) is None):
            if not any(one.is_at(own.image, own.kind, own.class_name, own.box_xyxy_px) for own in unseen):
                unseen.append(one)
        draw_sheets(unseen, dataset, options.sheets)
    print(heading(f"findings in coco128 looked at one by one, model {options.coco.stem}", "torch"))
    print_shares(first, verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
