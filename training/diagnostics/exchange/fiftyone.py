"""FiftyOne: the images of an audit with their labels and findings as a data set to browse.

FiftyOne is no part of any extra: ``pip install fiftyone`` beside Yoloscope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yoloscope.models.errors import ConfigError
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.diagnostics.findings import AuditReport, Finding, LabelFlag
from yoloscope.training.diagnostics.image_names import ImageFinder

if TYPE_CHECKING:
    import fiftyone


def to_fiftyone(
    report: AuditReport, dataset: DetectionDataset, name: str, *, persistent: bool = True
) -> fiftyone.Dataset:
    """Make a FiftyOne data set of all images of ``dataset``; raises ConfigError where FiftyOne is not installed.

    Samples have ``ground_truth`` (the labels, with ``index`` and what is flagged in ``flags``), ``findings`` (suggested
    boxes, ``confidence`` their probability, with ``kind``, ``label_index``, ``gain`` and ``reason``; a spurious label
    stands as it is) and ``probability``, the largest one, to sort by. Boxes are fractions of the image.
    """
    try:
        import fiftyone  # noqa: PLC0415 - optional, and seconds to import
    except ModuleNotFoundError as error:
        raise ConfigError("expected the package fiftyone, got none: pip install fiftyone") from error
    finder = ImageFinder(dataset.images)
    findings: dict[str, list[Finding]] = {}
    flags: dict[tuple[str, int], list[str]] = {}
    for finding in report.findings:
        image = finder.find(finding.image)
        if image is not None:
            findings.setdefault(str(image.path), []).append(finding)
    for flag in report.flags:
        image = finder.find(flag.image)
        if image is not None:
            flags.setdefault((str(image.path), flag.label_index), []).append(_in_words(flag))
    made = fiftyone.Dataset(name, persistent=persistent)
    made.info = {"model": report.model, "version": report.version, "data": report.data, "split": report.split}
    made.add_samples([_sample(fiftyone, image, findings.get(str(image.path), []), flags) for image in dataset.images])
    return made


def _sample(
    fiftyone: Any,  # noqa: ANN401 (the module)
    image: LabeledImage,
    findings: list[Finding],
    flags: dict[tuple[str, int], list[str]],
) -> Any:  # noqa: ANN401 (fiftyone.Sample, where it is installed)
    labels = [
        fiftyone.Detection(
            label=label.class_name,
            bounding_box=_fractions(label.box_xyxy_px, image),
            index=index,
            flags=flags.get((str(image.path), index), []),
        )
        for index, label in enumerate(image.labels.objects)
    ]
    suggested = [_finding(fiftyone, finding, image) for finding in findings]
    sample = fiftyone.Sample(filepath=str(image.path.absolute()))
    sample["ground_truth"] = fiftyone.Detections(detections=labels)
    sample["findings"] = fiftyone.Detections(detections=suggested)
    sample["probability"] = max((finding.probability for finding in findings), default=0.0)
    return sample


def _finding(fiftyone: Any, finding: Finding, image: LabeledImage) -> Any:  # noqa: ANN401 (the module, its Detection)
    suggestion = finding.suggestion
    return fiftyone.Detection(
        label=finding.class_name if suggestion is None else suggestion.class_name,
        bounding_box=_fractions(finding.box_xyxy_px if suggestion is None else suggestion.box_xyxy_px, image),
        confidence=finding.probability,
        kind=finding.kind,
        label_index=finding.label_index,
        gain=finding.gain,
        reason=finding.reason,
    )


def _fractions(box: BoxXyxy, image: LabeledImage) -> list[float]:
    """Return x, y, width, height as fractions of the image."""
    x1, y1, x2, y2 = box
    return [x1 / image.width, y1 / image.height, (x2 - x1) / image.width, (y2 - y1) / image.height]


def _in_words(flag: LabelFlag) -> str:
    return f"{flag.kind}: {flag.detail}. {flag.consequence}"
