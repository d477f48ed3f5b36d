"""Edits of COCO JSON: the annotations concerned change, every other byte stays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yoloscope.models.classes import ClassIndex
from yoloscope.training.data.annotations import CocoFile, LabelContext
from yoloscope.training.data.annotations.reading import DEFAULT_LIMITS, collect
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.mending.coco import count_lost_masks, edit_coco
from yoloscope.training.diagnostics.mending.edits import Change, ImageEdits, NewLabel

FILE = """{ "info": {"year": 2.0e3, "by": "\\u00e9 é"},
  "images": [{"id": 70, "file_name": "a.png", "width": 40, "height": 30}, {"file_name": "b.png", "id": 5}],
  "annotations": [
    {"id": 1, "image_id": 70, "bbox": [4,3,8,6], "category_id": 3 , "area": 31.50, "segmentation": [[4,3,12,3,8,9]]},
    {"id": 7, "image_id": 5, "category_id": 9, "bbox": [0, 0, 8, 6], "keypoints": [1, 2, 2]},
    {"id": 3, "image_id": 70, "category_id": 9, "bbox": [20, 15, 20, 15], "iscrowd": 0}
  ],
  "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}] }
"""
IDS = (3, 9)


def edits_of(data: bytes, position: int) -> ImageEdits:
    coco = CocoFile.parse(json.loads(data))
    context = LabelContext(ClassIndex(("cat", "dog")), 40, 30)
    labels = collect(coco.read_image(position, context), context, "coco", DEFAULT_LIMITS).labels
    number = coco.images[position]["id"]
    image_id = number if isinstance(number, int) else position + 1
    return ImageEdits(LabeledImage(Path("a.png"), image_id, labels, Path("a.json"), ()))


def test_a_changed_annotation_keeps_its_other_keys_and_spacing() -> None:
    data = FILE.encode()
    edits = edits_of(data, 0)
    edits.changed = {0: Change(1, "dog", (5, 3, 12, 9.25)), 1: Change(0, "cat", None)}
    assert count_lost_masks(data, [edits]) == 1
    assert edit_coco(data, [edits], IDS, ()).decode() == FILE.replace("[4,3,8,6]", "[5, 3, 7, 6.25]").replace(
        '"category_id": 3 , "area": 31.50, "segmentation": [[4,3,12,3,8,9]]',
        '"category_id": 9 , "area": 43.75, "segmentation": []',
    ).replace('"image_id": 70, "category_id": 9', '"image_id": 70, "category_id": 3')


def test_a_relabeled_object_keeps_its_segmentation() -> None:
    edits = edits_of(FILE.encode(), 0)
    edits.changed = {0: Change(1, "dog", None)}
    assert count_lost_masks(FILE.encode(), [edits]) == 0
    assert edit_coco(FILE.encode(), [edits], IDS, ()).decode() == FILE.replace(
        '"category_id": 3 ,', '"category_id": 9 ,'
    )


def test_annotations_are_added_behind_the_last_with_free_ids() -> None:
    first, second = edits_of(FILE.encode(), 0), edits_of(FILE.encode(), 1)
    first.added, second.added = [NewLabel(2, "fox", (1, 2, 5, 8))], [NewLabel(1, "dog", (1.5, 2, 5, 8))]
    new = (
        '"iscrowd": 0},\n    {"id": 8, "image_id": 70, "category_id": 10, "bbox": [1, 2, 4, 6], "area": 24, '
        '"iscrowd": 0, "segmentation": []},\n    {"id": 9, "image_id": 5, "category_id": 9, "bbox": [1.5, 2, 3.5, 6], '
        '"area": 21.0, "iscrowd": 0, "segmentation": []}\n'
    )
    expected = FILE.replace('"iscrowd": 0}\n', new).replace(
        '"name": "cat"}]', '"name": "cat"}, {"id": 10, "name": "fox"}]'
    )
    assert edit_coco(FILE.encode(), [first, second], IDS, ["fox"]).decode() == expected


@pytest.mark.parametrize(("deleted", "kept"), [((0,), [1, 2]), ((1,), [0, 2]), ((2,), [0, 1]), ((0, 1, 2), [])])
def test_deleted_annotations_leave_the_others_as_they_are(deleted: tuple[int, ...], kept: list[int]) -> None:
    edits, other = edits_of(FILE.encode(), 0), edits_of(FILE.encode(), 1)
    by_place = {0: (edits, 0), 2: (edits, 1), 1: (other, 0)}
    for place in deleted:
        owner, index = by_place[place]
        owner.deleted.add(index)
    text = edit_coco(FILE.encode(), [edits, other], IDS, ()).decode()
    lines = [line.rstrip(",") for line in FILE.splitlines()]
    assert [line.rstrip(",") for line in text.splitlines() if '"image_id"' in line] == [lines[3 + row] for row in kept]
    assert json.loads(text)["annotations"] == [json.loads(FILE)["annotations"][row] for row in kept]


def test_all_deleted_and_one_added() -> None:
    edits, other = edits_of(FILE.encode(), 0), edits_of(FILE.encode(), 1)
    edits.deleted, other.deleted = {0, 1}, {0}
    edits.added = [NewLabel(0, "cat", (1, 2, 5, 8))]
    (entry,) = json.loads(edit_coco(FILE.encode(), [edits, other], IDS, ()))["annotations"]
    assert (entry["id"], entry["image_id"], entry["category_id"]) == (8, 70, 3)


@pytest.mark.parametrize("annotations", ["[]", "[ ]"])
def test_the_first_annotation_and_an_image_whose_id_is_a_text(annotations: str) -> None:
    document: dict[str, Any] = json.loads(FILE) | {"annotations": []}
    document["images"][0]["id"] = "seventy"
    data = json.dumps(document).replace('"annotations": []', f'"annotations": {annotations}').encode("utf-16")
    edits = edits_of(data, 0)
    edits.added = [NewLabel(0, "cat", (1, 2, 5, 8))]
    (entry,) = json.loads(edit_coco(data, [edits], IDS, ()).decode("utf-16"))["annotations"]
    assert entry["image_id"] == "seventy"
    assert entry["id"] == 1


def test_a_box_is_written_where_there_was_a_polygon_alone() -> None:
    data = FILE.replace('"bbox": [4,3,8,6], ', "").encode()
    edits = edits_of(data, 0)
    edits = replace(edits, changed={0: Change(None, None, (5, 3, 12, 9))})
    entry = json.loads(edit_coco(data, [edits], IDS, ()))["annotations"][0]
    assert (entry["bbox"], entry["segmentation"], entry["area"]) == ([5, 3, 7, 6], [], 42)
