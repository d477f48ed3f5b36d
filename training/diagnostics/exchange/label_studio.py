"""Label Studio: findings as tasks with predictions, labeling configurations, and its regions in percent of an image.

Source: https://labelstud.io/guide/predictions and https://labelstud.io/guide/task_format.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations import ImageLabels
from yoloscope.training.data.annotations.parsing import decimal_of_json, parse_xml, shown
from yoloscope.training.data.annotations.shapes import BoxXyxy, enclosing_box
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.diagnostics.findings import AuditReport, Finding
from yoloscope.training.diagnostics.image_names import ImageFinder
from yoloscope.training.diagnostics.store import by_image

LOCAL_FILES: Final = "/data/local-files/?d="
"""Address of files in a folder that Label Studio serves itself; paths follow it."""
_PERCENT: Final = 100.0


@dataclass(frozen=True)
class LabelingConfig:
    """The rectangles of a labeling configuration: the names of its control and its image, and its labels.

    ``image_key`` is the key of a task's ``data`` that holds the image's address.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]

    @classmethod
    def of_classes(cls, class_names: Sequence[str]) -> LabelingConfig:
        """Return a configuration of one image and a rectangle label for each class."""
        return cls("label", "image", "image", tuple(class_names))

    @classmethod
    def parse(cls, text: str) -> LabelingConfig:
        """Return the first rectangles of a configuration in XML; raise LabelError where it has none."""
        root = parse_xml(text.encode())
        for control in root.iter("RectangleLabels"):
            target = control.get("toName", "")
            image = next((image for image in root.iter("Image") if image.get("name") == target), None)
            key = "" if image is None else image.get("value", "").removeprefix("$")
            if control.get("name") and key:
                labels = tuple(label.get("value", "") for label in control.iter("Label"))
                return cls(control.get("name", ""), target, key, labels)
        detail = "expected a labeling configuration with RectangleLabels on an Image, got none"
        raise LabelError(detail, (LabelProblem("", detail),))

    def to_xml(self) -> str:
        """Return the configuration as Label Studio reads it."""
        view = Element("View")
        SubElement(view, "Image", name=self.to_name, value=f"${self.image_key}")
        control = SubElement(view, "RectangleLabels", name=self.from_name, toName=self.to_name)
        for label in self.labels:
            SubElement(control, "Label", value=label)
        return tostring(view, encoding="unicode")


def to_label_studio(
    report: AuditReport, dataset: DetectionDataset, config: LabelingConfig, *, image_url: str = LOCAL_FILES
) -> Iterator[dict[str, Any]]:
    """Yield a task for each image with findings: its labels as an annotation, the findings as a prediction.

    A task's ``data`` has the image's address (``image_url`` and its name), the largest probability of its findings and
    their reasons; the prediction has that probability as its score, so that Label Studio can sort by it. A spurious
    label is predicted as it stands; its reason says that it should go. Images not in ``dataset`` are left out.
    """
    finder = ImageFinder(dataset.images)
    for findings in by_image(report.findings):
        name = findings[0].image
        image = finder.find(name)
        if image is None:
            continue
        size = image.width, image.height
        highest = max(finding.probability for finding in findings)
        data = {
            config.image_key: f"{image_url}{quote(name, errors='surrogateescape')}",
            "probability": highest,
            "findings": [_in_words(finding) for finding in findings],
        }
        prediction = {
            "model_version": f"{report.model} {report.version}",
            "score": highest,
            "result": [_finding_region(index, finding, size, config) for index, finding in enumerate(findings)],
        }
        annotation = {"result": label_regions(image.labels, config)}
        yield {"data": data, "annotations": [annotation], "predictions": [prediction]}


def label_regions(labels: ImageLabels, config: LabelingConfig) -> list[dict[str, Any]]:
    """Return the labels of an image as regions."""
    size = labels.image_width, labels.image_height
    return [
        region(f"label-{index}", label.class_name, label.box_xyxy_px, size, config)
        for index, label in enumerate(labels.objects)
    ]


def region(
    identifier: str, class_name: str, box: BoxXyxy, image_size: tuple[int, int], config: LabelingConfig
) -> dict[str, Any]:
    """Return a rectangle: corner and size in percent of the image (width, height), cut off at its edges."""
    width, height = image_size
    x1, x2 = (min(max(value / width, 0.0), 1.0) * _PERCENT for value in box[::2])
    y1, y2 = (min(max(value / height, 0.0), 1.0) * _PERCENT for value in box[1::2])
    return {
        "id": identifier,
        "type": "rectanglelabels",
        "from_name": config.from_name,
        "to_name": config.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": x1,
            "y": y1,
            "width": x2 - x1,
            "height": y2 - y1,
            "rotation": 0,
            "rectanglelabels": [class_name],
        },
    }


def read_regions(result: object, config: LabelingConfig, image_size: tuple[int, int]) -> list[tuple[str, BoxXyxy]]:
    """Return class name and box in pixels of the rectangles of an annotation; other controls are passed over.

    A rotated rectangle is read as the box around it. Raises LabelError naming each rectangle that is none.
    """
    if not isinstance(result, list):
        raise LabelError(f"expected a list of regions, got {shown(result)}", (LabelProblem("/result", "no list"),))
    found: list[tuple[str, BoxXyxy]] = []
    problems: list[LabelProblem] = []
    for index, entry in enumerate(result):
        if not isinstance(entry, dict) or entry.get("from_name") != config.from_name:
            continue
        value = entry.get("value")
        read = _read_value(value, image_size) if isinstance(value, dict) else None
        if read is None:
            detail = f"expected x, y, width, height in percent and one of rectanglelabels, got {shown(value)}"
            problems.append(LabelProblem(f"/result/{index}/value", detail))
        else:
            found.append(read)
    if problems:
        raise LabelError(f"{problems[0].pointer}: {problems[0].detail}", tuple(problems))
    return found


def _read_value(value: Mapping[str, Any], image_size: tuple[int, int]) -> tuple[str, BoxXyxy] | None:
    names = value.get("rectanglelabels")
    numbers = [decimal_of_json(value.get(key)) for key in ("x", "y", "width", "height")]
    angle = decimal_of_json(value.get("rotation", 0))
    x, y, width, height = (number if number is not None else math.nan for number in numbers)
    if not (isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)) or angle is None:
        return None
    if not all(map(math.isfinite, (x, y, width, height, angle))):
        return None
    scale_x, scale_y = image_size[0] / _PERCENT, image_size[1] / _PERCENT
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    points: list[float] = []
    for right, down in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)):
        across, along = right * scale_x, down * scale_y
        points += [x * scale_x + across * cos - along * sin, y * scale_y + across * sin + along * cos]
    return names[0], enclosing_box(points)


def _finding_region(index: int, finding: Finding, size: tuple[int, int], config: LabelingConfig) -> dict[str, Any]:
    suggestion = finding.suggestion
    name, box = (
        (finding.class_name, finding.box_xyxy_px)
        if suggestion is None
        else (suggestion.class_name, suggestion.box_xyxy_px)
    )
    described = {"score": finding.probability, "meta": {"text": [_in_words(finding)]}}
    return region(f"finding-{index}", name, box, size, config) | described


def _in_words(finding: Finding) -> str:
    place = "" if finding.label_index is None else f", label {finding.label_index}"
    return f"{finding.kind}{place} ({finding.probability:.2f}): {finding.reason}"


def class_names_in(report: AuditReport, dataset: DetectionDataset) -> tuple[str, ...]:
    """Return the classes of a data set and those that only suggestions have."""
    suggested: Iterable[str] = (finding.suggestion.class_name for finding in report.findings if finding.suggestion)
    return tuple(dict.fromkeys((*dataset.class_names, *suggested)))
