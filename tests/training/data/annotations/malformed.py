"""A seeded generator of label files, all wrong for an image of 200x100 and the classes of ``labels.NAMES``."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.training.data.annotations.labels import NAMES, VOC

_NOT_NUMBERS = ["", "x", "1,5", "0x10", "--1", "1e", "½", "None", "[]", "1 2", "\u0661"]
_NOT_JSON_NUMBERS: list[Any] = [None, "12", [], {}, True, "nan"]


def malformed_files(seed: int, count: int) -> list[bytes]:
    """Return ``count`` files, the kinds of fault in turn, the details at random."""
    source = random.Random(seed)
    return [_KINDS[i % len(_KINDS)](source) for i in range(count)]


def _box(source: random.Random) -> list[float]:
    x, y = source.uniform(0, 150), source.uniform(0, 60)
    return [x, y, x + source.uniform(5, 50), y + source.uniform(5, 40)]


def _bad_box(source: random.Random) -> list[float]:
    x1, y1, x2, y2 = _box(source)
    far = source.choice([1e3, 1e9, 1e300])
    return source.choice(
        [
            [x2, y1, x1, y2],
            [x1, y1, x1, y2],
            [x1, y2, x2, y1],
            [x1, y1, far, y2],
            [-far, y1, x2, y2],
            [far, y1, 2 * far, y2],
        ]
    )


def _yolo_line(box: list[float], class_id: object = 0) -> str:
    x1, y1, x2, y2 = box
    return f"{class_id} {(x1 + x2) / 400} {(y1 + y2) / 200} {(x2 - x1) / 200} {(y2 - y1) / 100}"


def _among_good_lines(source: random.Random, bad: str) -> bytes:
    lines = [_yolo_line(_box(source)) for _ in range(source.randrange(4))]
    lines.insert(source.randint(0, len(lines)), bad)
    return "\n".join(lines).encode()


def _yolo_columns(source: random.Random) -> bytes:
    return _among_good_lines(source, " ".join(["0"] + [".5"] * source.choice([0, 1, 2, 3, 7, 9, 11])))


def _yolo_text(source: random.Random) -> bytes:
    fields = _yolo_line(_box(source)).split()
    fields[source.randrange(5)] = source.choice(["x", "1,5", "0x10", "--1", "1e", "½", "None", "[]", "\u0661"])
    return _among_good_lines(source, " ".join(fields))


def _yolo_class(source: random.Random) -> bytes:
    return _among_good_lines(source, _yolo_line(_box(source), source.choice([-1, 3, 80, 10**12, "1.5"])))


def _yolo_box(source: random.Random) -> bytes:
    return _among_good_lines(source, _yolo_line(_bad_box(source)))


def _yolo_non_finite(source: random.Random) -> bytes:
    fields = _yolo_line(_box(source)).split()
    fields[source.randrange(1, 5)] = source.choice(["nan", "inf", "-inf", "1e999"])
    return _among_good_lines(source, " ".join(fields))


def _voc_cut(source: random.Random) -> bytes:
    return VOC[: source.randrange(12, len(VOC) - 1)].encode()


def _voc_element(source: random.Random) -> bytes:
    element = source.choice(["<xmin>20</xmin>", "<ymax>30</ymax>", "<name>dog</name>"])
    text = source.choice(_NOT_NUMBERS)
    changed = element[: element.index(">") + 1] + text.replace("dog", "") + element[element.rindex("<") :]
    return VOC.replace(element, source.choice(["", changed]), 1).encode()


def _voc_class(source: random.Random) -> bytes:
    return VOC.replace("dog", source.choice(["dogg", "DO G", "3", "猫"]), 1).encode()


def _voc_entities(source: random.Random) -> bytes:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol"}">' for i in range(source.randint(1, 9)))
    outside = f'<!ENTITY e SYSTEM "file:///etc/{source.choice(["passwd", "hostname"])}">'
    return f"<!DOCTYPE annotation [{source.choice([bomb, outside])}]>{VOC}".encode()


def _voc_size(source: random.Random) -> bytes:
    return VOC.replace("<width>200", f"<width>{source.randint(201, 9999)}", 1).encode()


def _coco_document(source: random.Random) -> dict[str, Any]:
    x1, y1, x2, y2 = _box(source)
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [{"id": i * 7 + 1, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 8, "bbox": [x1, y1, x2 - x1, y2 - y1]}],
    }


def _coco_annotation(source: random.Random) -> bytes:
    document = _coco_document(source)
    entry = document["annotations"][0]
    key = source.choice(["image_id", "category_id", "bbox"])
    if source.random() < 0.3:
        del entry[key]
    else:
        entry[key] = source.choice([None, [], {}, "x", True, [1, 2, 3], [1, 2, None, 4]])
        entry[key] = 5 if key == "category_id" and entry[key] is True else entry[key]
    if key == "image_id" and isinstance(entry.get(key), str):
        entry[key] = None
    return json.dumps(document).encode()


def _coco_box(source: random.Random) -> bytes:
    document = _coco_document(source)
    x1, y1, x2, y2 = _bad_box(source)
    document["annotations"][0]["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    return json.dumps(document).encode()


def _coco_outline(source: random.Random) -> bytes:
    document = _coco_document(source)
    key = source.choice(["images", "categories", "annotations"])
    document[key] = source.choice([None, {}, 3, "x", [None], [[]], [3]])
    return json.dumps(document).encode()


def _native_document(source: random.Random) -> dict[str, Any]:
    return {"objects": [{"class_name": "dog", "box": dict(zip(("x1", "y1", "x2", "y2"), _box(source), strict=True))}]}


def _native_entry(source: random.Random) -> bytes:
    document = _native_document(source)
    entry = document["objects"][0]
    key = source.choice(["class_name", "box", "class_id", "color"])
    entry[key] = source.choice([None, 3.5, [], "fish"])
    if entry[key] is None:
        entry["class_name"] = "fish"
    return json.dumps(document).encode()


def _native_corner(source: random.Random) -> bytes:
    document = _native_document(source)
    document["objects"][0]["box"][source.choice(["x1", "y1", "x2", "y2"])] = source.choice(_NOT_JSON_NUMBERS)
    return json.dumps(document).encode()


def _native_box(source: random.Random) -> bytes:
    document = _native_document(source)
    document["objects"][0]["box"] = dict(zip(("x1", "y1", "x2", "y2"), _bad_box(source), strict=True))
    return json.dumps(document).encode()


def _json_syntax(source: random.Random) -> bytes:
    text = json.dumps(source.choice([_native_document, _coco_document])(source))
    return source.choice(
        [text[: source.randrange(1, len(text) - 1)], text + "}", text.replace(":", "=", 1), "[" * 10**5, "{" + text]
    ).encode()


def _no_format(source: random.Random) -> bytes:
    return source.choice([b"label,x,y", b"\xff\xd8\xff\xe0JFIF", b"PK\x03\x04", b"\x89PNG", b"[]", b"{}", b"---\n- a"])


_KINDS: list[Callable[[random.Random], bytes]] = [
    _yolo_columns,
    _yolo_text,
    _yolo_class,
    _yolo_box,
    _yolo_non_finite,
    _voc_cut,
    _voc_element,
    _voc_class,
    _voc_entities,
    _voc_size,
    _coco_annotation,
    _coco_box,
    _coco_outline,
    _native_entry,
    _native_corner,
    _native_box,
    _json_syntax,
    _no_format,
]
