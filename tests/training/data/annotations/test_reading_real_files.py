"""Real label files: BCCD (VOC XML) and the first 128 images of COCO (YOLO text and COCO JSON)."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from yoloscope.models.classes import ClassIndex
from yoloscope.training.data.annotations import CocoFile, LabelContext, LabelObject, lint, parse_labels

BCCD_NAMES = ("RBC", "WBC", "Platelets")


def test_bccd_has_4888_boxes_of_which_two_have_no_area(data_dir: Path) -> None:
    count, findings = 0, {}
    for path in sorted((data_dir / "bccd" / "Annotations").glob("*.xml")):
        labels = parse_labels(path.read_bytes(), class_names=BCCD_NAMES, image_width=640, image_height=480)
        count += len(labels)
        if found := lint(labels):
            findings[path.stem] = [(finding.kind, finding.problem.pointer) for finding in found]
    assert count == 4888
    assert findings == {
        "BloodImage_00338": [("degenerate", "/annotation/object/12/bndbox")],
        "BloodImage_00343": [("degenerate", "/annotation/object/3/bndbox")],
    }


def test_coco128_s_text_and_json_labels_agree(data_dir: Path) -> None:
    folder = data_dir / "coco128"
    document = json.loads((folder / "instances_train2017.json").read_bytes())
    names = [category["name"] for category in document["categories"]]
    coco, counts = CocoFile.parse(document), [0, 0]
    for path in sorted((folder / "images" / "train2017").iterdir()):
        with Image.open(path) as image:
            context = LabelContext(ClassIndex(names), *image.size, path.name)
        text = folder / "labels" / "train2017" / f"{path.stem}.txt"
        labels = parse_labels(
            text.read_bytes() if text.exists() else b"",
            class_names=names,
            image_width=context.image_width,
            image_height=context.image_height,
        )
        assert not lint(labels)
        entries = [entry for entry in coco.read(context) if isinstance(entry, LabelObject)]
        counts[0] += len(entries)
        counts[1] += len(labels)
        _assert_same([entry for entry in entries if not entry.crowd], list(labels.objects))
    assert counts == [939, 929]


def _assert_same(expected: list[LabelObject], found: list[LabelObject]) -> None:
    assert len(expected) == len(found)
    left = found.copy()
    for label in expected:
        distances = [
            np.abs(np.subtract(label.box_xyxy_px, other.box_xyxy_px)).max()
            for other in left
            if other.class_id == label.class_id
        ]
        assert min(distances) < 0.01
        same = [other for other in left if other.class_id == label.class_id]
        left.remove(same[int(np.argmin(distances))])
