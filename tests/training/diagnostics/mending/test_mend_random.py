"""Random edits of random labels in VOC, YOLO and COCO: read back, the copy has what a plain list of labels has."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.training.data.datasets.folders import voc_xml, write_image, write_text
from tests.training.diagnostics.mending.scenes import bytes_below, labels_of
from tests.training.diagnostics.reports import finding
from yoloscope.training.diagnostics.findings import Finding
from yoloscope.training.diagnostics.mending import mend

NAMES = ("cat", "dog", "fox")
SIZE = (40, 30)
Label = tuple[str, tuple[int, int, int, int]]


def random_box(chance: random.Random) -> tuple[int, int, int, int]:
    x, y = chance.randrange(SIZE[0] - 6), chance.randrange(SIZE[1] - 6)
    return x, y, chance.randrange(x + 2, SIZE[0] + 1), chance.randrange(y + 2, SIZE[1] + 1)


def write(root: Path, layout: str, labels: dict[str, list[Label]]) -> None:
    for stem, objects in labels.items():
        write_image(root / "images" / f"{stem}.png")
        if layout == "voc":
            write_text(root / "annotations" / f"{stem}.xml", voc_xml(objects))
        elif layout == "yolo":
            lines = (
                f"{NAMES.index(name)} {(x1 + x2) / 80} {(y1 + y2) / 60} {(x2 - x1) / 40} {(y2 - y1) / 30}"
                for name, (x1, y1, x2, y2) in objects
            )
            write_text(root / "labels" / f"{stem}.txt", "\n".join(lines))
    if layout == "coco":
        write_text(root / "result.json", json.dumps(coco(labels), indent=1))
    else:
        write_text(root / "classes.txt", "\n".join(NAMES))


def coco(labels: dict[str, list[Label]]) -> dict[str, object]:
    """The annotations of all images mixed, as files have them."""
    images = [{"id": 7 + number, "file_name": f"images/{stem}.png"} for number, stem in enumerate(labels)]
    rows = [
        (place, number, name, box)
        for number, objects in enumerate(labels.values())
        for place, (name, box) in enumerate(objects)
    ]
    annotations = [
        {
            "id": 3 * row,
            "image_id": 7 + number,
            "category_id": 5 + NAMES.index(name),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        for row, (_, number, name, (x1, y1, x2, y2)) in enumerate(sorted(rows))
    ]
    categories = [{"id": 5 + number, "name": name} for number, name in enumerate(NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def random_edits(chance: random.Random, labels: dict[str, list[Label]]) -> tuple[list[Finding], dict[str, list[Label]]]:
    """Findings on a third of the labels and new ones, and the labels that there are then."""
    found: list[Finding] = []
    after: dict[str, list[Label]] = {}
    for stem, objects in labels.items():
        image, kept = f"images/{stem}.png", list[Label]()
        for index, (name, box) in enumerate(objects):
            kind = chance.choice(("class", "location", "spurious", *(["none"] * 6)))
            if kind == "class":
                other = NAMES[NAMES.index(name) - 1]
                found.append(finding("class", image, index, name, box, (other, box), 0.9))
                kept.append((other, box))
            elif kind == "location" and (new := random_box(chance)) != box:
                found.append(finding("location", image, index, name, box, (name, new), 0.9))
                kept.append((name, new))
            elif kind == "spurious":
                found.append(finding("spurious", image, index, name, box, None, 0.9))
            else:
                kept.append((name, box))
        if chance.random() < 0.5 and (new := random_box(chance)) not in [box for _, box in objects]:
            found.append(finding("missing", image, None, "cat", new, ("cat", new), 0.9))
            kept.append(("cat", new))
        after[stem] = kept
    return found, after


@pytest.mark.parametrize("layout", ["voc", "yolo", "coco"])
@pytest.mark.parametrize("seed", range(12))
def test_the_copy_has_the_labels_of_a_plain_list(tmp_path: Path, layout: str, seed: int) -> None:
    chance = random.Random(seed)
    labels = {
        f"p{number}": [(chance.choice(NAMES), random_box(chance)) for _ in range(chance.randrange(1, 9))]
        for number in range(6)
    }
    write(tmp_path / "data", layout, labels)
    before = bytes_below(tmp_path / "data")
    found, after = random_edits(chance, labels)
    chance.shuffle(found)
    mend(found, tmp_path / "data", tmp_path / "copy")
    assert labels_of(tmp_path / "copy") == after
    assert bytes_below(tmp_path / "data") == before
