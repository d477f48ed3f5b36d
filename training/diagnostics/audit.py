"""Audit of a labeled data set: probable label errors by kind, each with its repair and what that is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yoloscope.models.errors import ConfigError, DatasetError, ImageError
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.data.datasets.dataset import HARMLESS
from yoloscope.training.diagnostics.batch import AuditBatch
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import (
    KINDS,
    AuditReport,
    FindingKind,
    ImageAudit,
    SkippedImage,
)
from yoloscope.training.diagnostics.image_names import image_name
from yoloscope.training.diagnostics.store import AuditStore
from yoloscope.training.diagnostics.views import (
    HeadsDetector,
    ViewDetections,
    detect_views,
)
from yoloscope.training.losses import get_preset

DEFAULT_FLOOR: Final = 0.05


@dataclass(frozen=True)
class AuditedModel:
    """Model of an audit: its name, version, and whether it was trained on the audited images."""

    name: str
    version: str
    seen: bool | None


class LabelAuditor:
    """Audits images one by one or in batches; what it finds in an image depends on that image alone.

    The last digit of a gain may differ, as gains are computed for all images of a batch at once.
    ``calibration`` turns evidence into probabilities; findings below ``floor`` are left out, and none otherwise.
    Raises PresetError where the detector has no loss, ConfigError or SpecError for a floor or a prevalence
    out of range.
    """

    def __init__(
        self,
        detector: HeadsDetector,
        calibration: AuditCalibration,
        *,
        floor: float = DEFAULT_FLOOR,
        prevalence: Mapping[FindingKind, float] | None = None,
    ) -> None:
        get_preset(None, detector.spec)
        if not 0 <= floor <= 1:
            raise ConfigError(f"floor: expected a probability of 0 to 1, got {floor:g}")
        self._detector = detector
        self.spec = detector.spec
        self.calibration = calibration.with_prevalence(prevalence or {})
        self.floor = floor

    @property
    def prevalence(self) -> dict[FindingKind, float]:
        """Share of errors that the probabilities of each kind assume."""
        return {kind: self.calibration.channels[kind].prevalence for kind in KINDS}

    def audit(self, images: Sequence[LabeledImage], root: Path) -> list[ImageAudit]:
        """Return the audit of each image, in order; its class ids are those of the model (``for_model``).

        ``root`` is the data set's folder, below which findings name images.
        """
        names = [image_name(image.path, root) for image in images]
        detected: dict[int, ViewDetections] = {}
        skipped: dict[int, SkippedImage] = {}
        for row, image in enumerate(images):
            try:
                detected[row] = detect_views(self._detector, image.read(), self.calibration.views)
            except (ImageError, DatasetError) as error:
                skipped[row] = SkippedImage(names[row], str(error))
        readable = sorted(detected)
        audits: dict[int, ImageAudit] = {}
        if readable:
            batch = AuditBatch(
                [names[row] for row in readable],
                [images[row].labels for row in readable],
                [detected[row] for row in readable],
                self.spec,
                self.calibration,
                self.floor,
            )
            audits = dict(zip(readable, batch.audits(), strict=True))
        return [
            audits[row] if row in audits else ImageAudit(names[row], len(image.labels), (), (), (skipped[row],))
            for row, image in enumerate(images)
        ]


def seen_by_model(spec: DetectorSpec, dataset: DetectionDataset) -> bool | None:
    """Return whether a model was trained on these images, as far as its training summary knows; None: unknown."""
    if spec.training is None:
        return None
    trained = spec.training.get("train")
    if not isinstance(trained, dict):
        return _seen_by_name(spec.training, dataset)
    split = trained.get("split")
    counts = len(dataset), sum(dataset.objects_per_class)
    if (trained.get("images"), trained.get("objects")) == counts and split == dataset.split:
        return True
    if trained.get("name") != dataset.source.name:
        return None
    return split is None or dataset.split is None or split == dataset.split


def _seen_by_name(training: Mapping[str, Any], dataset: DetectionDataset) -> bool | None:
    """Return False where a model without a summary of its data was trained on a split of another name."""
    try:
        split = training["config"]["data"]["train"]
    except (KeyError, TypeError):
        return None
    return False if split and dataset.split and split != dataset.split else None


def collect_report(
    auditor: LabelAuditor,
    model: AuditedModel,
    dataset: DetectionDataset,
    audits: Iterable[ImageAudit],
    notes: Sequence[str] = (),
    *,
    store: AuditStore | None = None,
) -> AuditReport:
    """Return the report of a data set from the audits of its images, whatever their order; ``notes`` come first.

    What they found is put into ``store``, by default a temporary one, and not kept in memory.
    """
    store = store or AuditStore()
    num_images = num_labels = 0
    unread: list[tuple[str, SkippedImage]] = []
    for audit in audits:
        store.add(audit)
        num_images, num_labels = num_images + 1, num_labels + audit.num_labels
        unread += [(audit.image, one) for one in audit.skipped]
    unread.sort(key=lambda one: one[0])
    grave = [problem for problem in dataset.problems if problem.kind not in HARMLESS]
    skipped = [SkippedImage(problem.location, problem.detail) for problem in grave]
    return AuditReport(
        model=model.name,
        version=model.version,
        data=dataset.source.name,
        split=dataset.split,
        num_images=num_images,
        num_labels=num_labels,
        seen_by_model=model.seen,
        prevalence=auditor.prevalence,
        floor=auditor.floor,
        notes=(*notes, *_notes(model), *dataset.notes, *_notes_on_files(dataset)),
        findings=store.findings,
        flags=store.flags,
        skipped=(*skipped, *(one for _, one in unread)),
    )


_SEEN: Final = (
    "The model was trained on these images: it has learned some of their errors, so probabilities are too low. With "
    "folds (--folds) each image is judged by a model that has not seen it."
)
_SEEN_UNKNOWN: Final = (
    "It is not known whether the model was trained on these images; if it was, probabilities are too low."
)


def _notes_on_files(dataset: DetectionDataset) -> Iterator[str]:
    """Yield in words which images have no label file and which label files no image, one note for each kind."""
    missing = [problem.path for problem in dataset.problems if problem.kind == "missing_labels"]
    unused = [problem.path for problem in dataset.problems if problem.kind == "unused_labels"]
    if missing:
        count = "one image has no label file" if len(missing) == 1 else f"{len(missing)} images have no label files"
        meaning = "left out" if dataset.layout == "voc" else "taken for images without objects"
        yield f"{count}, such as {missing[0]}: {meaning}"
    if unused:
        count = "one label file has no image" if len(unused) == 1 else f"{len(unused)} label files have no images"
        yield f"{count}, such as {unused[0]}: left out"


def _notes(model: AuditedModel) -> tuple[str, ...]:
    if model.seen is None:
        return (_SEEN_UNKNOWN,)
    return (_SEEN,) if model.seen else ()
