"""Read label files of any supported format, given or detected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, TypeAlias

from yoloscope.models.classes import ClassIndex
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations.coco import CocoFile
from yoloscope.training.data.annotations.lint import find_faults
from yoloscope.training.data.annotations.native import read_native
from yoloscope.training.data.annotations.parsing import decimal_of_text, label_text, parse_json, shown, unreadable
from yoloscope.training.data.annotations.structures import (
    ImageLabels,
    LabelContext,
    LabelFormat,
    LabelLimits,
    LabelObject,
    LabelScan,
)
from yoloscope.training.data.annotations.voc import read_voc
from yoloscope.training.data.annotations.yolo import read_yolo

_Entries: TypeAlias = Iterator[LabelObject | LabelProblem]
DEFAULT_LIMITS = LabelLimits()
_TRIED = (
    "format not recognized; tried native JSON (an object with 'objects'), COCO JSON (an object with 'images', "
    "'annotations' and 'categories'), VOC XML (begins with '<') and YOLO text (lines of numbers)"
)


def parse_labels(
    data: bytes,
    *,
    label_format: LabelFormat | Literal["auto"] = "auto",
    class_names: Sequence[str],
    image_width: int,
    image_height: int,
    file_name: str | None = None,
    limits: LabelLimits = DEFAULT_LIMITS,
) -> ImageLabels:
    """Return the labels that a file gives for one image, right or wrong; ``lint`` and ``check_labels`` judge them.

    ``auto`` detects the format from the content; an empty file is YOLO text without objects. ``file_name`` is the
    image's and chooses among the images of a COCO file. Raises LabelError, naming every entry that cannot be read.
    """
    context = LabelContext(ClassIndex(class_names), image_width, image_height, file_name)
    scan = scan_labels(data, context, label_format=label_format, limits=limits)
    _raise_if_any(scan.problems)
    return scan.labels


def valid_labels(
    data: bytes,
    context: LabelContext,
    *,
    label_format: LabelFormat | Literal["auto"] = "auto",
    limits: LabelLimits = DEFAULT_LIMITS,
) -> ImageLabels:
    """Return labels that a loss can be computed of; raise LabelError naming all that is unreadable or wrong at once."""
    scan = scan_labels(data, context, label_format=label_format, limits=limits)
    _raise_if_any(sorted((*scan.problems, *find_faults(scan.labels)), key=_file_order))
    return scan.labels


def check_labels(labels: ImageLabels) -> None:
    """Raise LabelError naming every object of an unknown class or with an impossible box."""
    _raise_if_any(find_faults(labels))


def scan_labels(
    data: bytes,
    context: LabelContext,
    *,
    label_format: LabelFormat | Literal["auto"] = "auto",
    limits: LabelLimits = DEFAULT_LIMITS,
) -> LabelScan:
    """Read a file to its end and return what could be read beside a problem for each entry that could not.

    Raises LabelError only where nothing can be read: wrong encoding or syntax, no known format, or over a limit.
    """
    if len(data) > limits.max_bytes:
        raise unreadable("", f"expected at most {limits.max_bytes} bytes, got {len(data)}")
    found, entries = _open(data, context, label_format)
    return collect(entries, context, found, limits)


def collect(
    entries: Iterable[LabelObject | LabelProblem], context: LabelContext, label_format: LabelFormat, limits: LabelLimits
) -> LabelScan:
    """Sort what a reader yields into objects and problems; raise LabelError above ``limits.max_objects`` entries."""
    found = tuple(islice(entries, limits.max_objects + 1))
    if len(found) > limits.max_objects:
        raise unreadable("", f"expected at most {limits.max_objects} objects for one image, got more")
    objects = tuple(entry for entry in found if isinstance(entry, LabelObject))
    problems = tuple(entry for entry in found if isinstance(entry, LabelProblem))
    return LabelScan(ImageLabels(objects, context.image_width, context.image_height, label_format), problems)


def _open(
    data: bytes, context: LabelContext, label_format: LabelFormat | Literal["auto"]
) -> tuple[LabelFormat, _Entries]:
    if label_format == "yolo":
        return "yolo", read_yolo(data, context)
    if label_format == "voc":
        return "voc", read_voc(data, context)
    if label_format == "auto":
        return _detect(data, context)
    return _open_json(parse_json(data), context, label_format)


def _open_json(document: object, context: LabelContext, label_format: LabelFormat) -> tuple[LabelFormat, _Entries]:
    if label_format == "coco":
        return "coco", CocoFile.parse(document).read(context)
    return "native", read_native(document, context)


def _detect(data: bytes, context: LabelContext) -> tuple[LabelFormat, _Entries]:
    if data.lstrip(b" \t\r\n").startswith(b"<"):
        return "voc", read_voc(data, context)
    text = label_text(data).lstrip()
    if text.startswith("<"):
        return "voc", read_voc(data, context)
    if text.startswith(("{", "[")):
        document = parse_json(data)
        keys = document.keys() if isinstance(document, dict) else set()
        if "objects" in keys:
            return _open_json(document, context, "native")
        if keys & {"annotations", "images", "categories"}:
            return _open_json(document, context, "coco")
        raise unreadable("", f"{_TRIED}; got JSON with neither 'objects' nor 'annotations'")
    first = text.split(maxsplit=1)
    if first and decimal_of_text(first[0]) is None:
        raise unreadable("", f"{_TRIED}; got a file that begins with {shown(first[0])}")
    return "yolo", read_yolo(data, context)


def _file_order(problem: LabelProblem) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in problem.pointer.split("/")]


def _raise_if_any(problems: Sequence[LabelProblem]) -> None:
    if not problems:
        return
    first = problems[0]
    count = "1 label is" if len(problems) == 1 else f"{len(problems)} labels are"
    raise LabelError(f"{count} wrong; first {first.pointer}: {first.detail}", tuple(problems))
