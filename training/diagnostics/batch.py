"""Findings in a batch of images: suspicions by the evidence, the edits they suggest, and what those are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from yoloscope.models.preprocess import placement_of
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import ImageLabels
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.evidence import (
    MATCH_IOU,
    TOUCH_IOU,
    CandidateEvidence,
    LabelBatch,
    LabelEvidence,
    candidate_evidence,
    label_evidence,
)
from yoloscope.training.diagnostics.findings import (
    LABEL_KINDS,
    Finding,
    ImageAudit,
    LabelFlag,
    Suggestion,
    sorted_findings,
)
from yoloscope.training.diagnostics.flags import find_collisions, find_flags
from yoloscope.training.diagnostics.reasons import Suspicions, describe_evidence, describe_gains
from yoloscope.training.diagnostics.repair import Edits, Gains, LabelLoss, NetworkLabels
from yoloscope.training.diagnostics.views import MergedDetections, ViewDetections, merge_views


class AuditBatch:
    """The labels and detections of some images, and the findings in them."""

    def __init__(
        self,
        names: Sequence[str],
        labels: Sequence[ImageLabels],
        detected: Sequence[ViewDetections],
        spec: DetectorSpec,
        calibration: AuditCalibration,
        floor: float,
    ) -> None:
        self.names, self.labels = names, labels
        self.spec, self.calibration, self.floor = spec, calibration, floor
        self.heads = tuple(torch.cat(head) for head in zip(*(one.heads for one in detected), strict=True))
        self.found: MergedDetections = merge_views(detected)
        self.batch = LabelBatch.of(labels)
        self.placements = [placement_of(one.image_width, one.image_height, self.spec) for one in labels]
        self.row_of_slot = self.batch.judged.flatten().cumsum(0).reshape(self.batch.judged.shape) - 1

    def audits(self) -> list[ImageAudit]:
        """Return the audit of each image."""
        findings: list[list[Finding]] = [[] for _ in self.labels]
        kinds = self.suspicions()
        for suspicions, own in zip(kinds, self.gains(kinds), strict=True):
            for image, finding in self._findings(suspicions, own):
                findings[image].append(finding)
        return [
            ImageAudit(name, len(labels), sorted_findings(found), tuple(flagged))
            for name, labels, found, flagged in zip(self.names, self.labels, findings, self._flags(), strict=True)
        ]

    def gains(self, kinds: Sequence[Suspicions]) -> list[Gains]:
        """Return what the repair of each suspicion would save, kind by kind."""
        edits = [self._edits(suspicions) for suspicions in kinds]
        return self._loss.gains(Edits.joined(edits)).split([len(part) for part in edits])

    def suspicions(self) -> list[Suspicions]:
        """Return what is suspected of all labels and candidates, kind by kind."""
        evidence = label_evidence(self.batch, self.found)
        nothing = torch.full_like(evidence.slot, -1)
        columns = {
            "class": (evidence.classes, evidence.other),
            "location": (evidence.location, evidence.located),
            "spurious": (evidence.spurious, nothing),
        }
        found = [
            Suspicions(kind, evidence.image, evidence.slot, column, self.calibration.probability(kind, features))
            for kind, (features, column) in zip(LABEL_KINDS, columns.values(), strict=True)
        ]
        badly_placed = found[LABEL_KINDS.index("location")].probability
        return [one.at_least(self.floor) for one in (*found, self._missing(evidence, badly_placed))]

    def _missing(self, evidence: LabelEvidence, badly_placed: Tensor) -> Suspicions:
        sizes = torch.tensor(self.calibration.typical_sizes)
        candidates = candidate_evidence(self.batch, self.found, sizes)
        probability = self.calibration.probability("missing", candidates.features)
        probability = probability * (1 - self._explained_by_a_move(candidates, evidence, badly_placed))
        nowhere = torch.full_like(candidates.image, -1)
        return Suspicions("missing", candidates.image, nowhere, candidates.column, probability)

    def _explained_by_a_move(
        self, candidates: CandidateEvidence, evidence: LabelEvidence, badly_placed: Tensor
    ) -> Tensor:
        """Return for each candidate the probability that a badly placed label is its label."""
        explained = torch.zeros(self.found.scores.shape, dtype=torch.float64)
        rows = (evidence.located >= 0) & (evidence.iou >= TOUCH_IOU) & (evidence.iou < MATCH_IOU)
        place = evidence.image[rows] * explained.shape[1] + evidence.located[rows]
        explained.view(-1).scatter_reduce_(0, place, badly_placed[rows], "amax")
        return explained[candidates.image, candidates.column]

    @cached_property
    def _loss(self) -> LabelLoss:
        return LabelLoss(self.heads, self._network_labels, self.spec)

    @cached_property
    def _network_labels(self) -> NetworkLabels:
        """Return the judged labels as training takes them: cut to their image."""
        image, slot = self.batch.judged.nonzero(as_tuple=True)
        boxes = self.batch.boxes_xyxy_frac[image, slot].double().clamp(0, 1)
        return NetworkLabels(self._to_network(boxes, image), self.batch.class_ids[image, slot], image, len(self.labels))

    def _to_network(self, boxes_xyxy_frac: Tensor, image: Tensor) -> Tensor:
        """Return boxes as fractions of the network input."""
        net = torch.tensor((self.spec.input_width, self.spec.input_height) * 2, dtype=torch.float64)
        places = [(at.left, at.top, at.width, at.height) for at in self.placements]
        left, top, width, height = torch.tensor(places, dtype=torch.float64)[image].unbind(1)
        scale = torch.stack((width, height, width, height), 1)
        return (boxes_xyxy_frac * scale + torch.stack((left, top, left, top), 1)) / net

    def _detected(self, suspicions: Suspicions) -> Tensor:
        """Return the boxes of the detections [n, 4], cut to the image."""
        return self.found.boxes_xyxy_frac[suspicions.image, suspicions.column].double().clamp(0, 1)

    def _edits(self, suspicions: Suspicions) -> Edits:
        labels = self._network_labels
        kind, image = suspicions.kind, suspicions.image
        count = len(image)
        row = torch.full((count,), -1) if kind == "missing" else self.row_of_slot[image, suspicions.slot]
        deletes = torch.full((count,), kind == "spurious")
        if kind == "spurious":
            return Edits(image, row, labels.boxes_xyxy_norm[row], labels.class_ids[row], deletes)
        boxes = self._to_network(self._detected(suspicions), image)
        class_ids = self.found.class_ids[image, suspicions.column]
        if kind == "class":
            boxes = labels.boxes_xyxy_norm[row]
        return Edits(image, row, boxes, class_ids, deletes)

    def _findings(self, suspicions: Suspicions, gains: Gains) -> Iterator[tuple[int, Finding]]:
        kind = suspicions.kind
        reasons = describe_evidence(suspicions, self.batch, self.found, self.spec.class_names)
        worth = describe_gains(kind, gains)
        suggestions = self._suggestions(suspicions)
        rows = zip(
            suspicions.image.tolist(),
            suspicions.slot.tolist(),
            suspicions.probability.tolist(),
            gains.total.tolist(),
            strict=True,
        )
        for position, (image, slot, probability, gain) in enumerate(rows):
            suggestion = suggestions[position]
            reason = f"{reasons[position]}; {worth[position]}"
            if suggestion is not None and kind == "missing":
                index, class_name, box = None, suggestion.class_name, suggestion.box_xyxy_px
            else:
                index = int(self.batch.index[image, slot])
                label = self.labels[image].objects[index]
                class_name, box = label.class_name, label.box_xyxy_px
            if suggestion is not None and kind == "class":
                suggestion = Suggestion(suggestion.class_name, box)
            yield (
                image,
                Finding(self.names[image], kind, index, class_name, box, suggestion, probability, gain, reason),
            )

    def _suggestions(self, suspicions: Suspicions) -> list[Suggestion | None]:
        """Return class and box of each detection that a suspicion goes by, in pixels of its image."""
        if suspicions.kind == "spurious":
            return [None] * len(suspicions.image)
        sizes = [(labels.image_width, labels.image_height) * 2 for labels in self.labels]
        boxes = self._detected(suspicions) * torch.tensor(sizes, dtype=torch.float64)[suspicions.image]
        class_ids = self.found.class_ids[suspicions.image, suspicions.column].tolist()
        return [
            Suggestion(self.spec.class_names[class_id], (x1, y1, x2, y2))
            for class_id, (x1, y1, x2, y2) in zip(class_ids, boxes.tolist(), strict=True)
        ]

    def _flags(self) -> list[list[LabelFlag]]:
        labels, statuses = self._network_labels, self._loss.statuses
        has_center = labels.has_center
        owner, index = labels.image[has_center], self.batch.index[self.batch.judged][has_center]
        found = []
        for image, own_labels in enumerate(self.labels):
            own = owner == image
            at = self.placements[image]
            scale = (at.width / at.image_width, at.height / at.image_height)
            flags = find_flags(self.names[image], own_labels, self.spec, scale)
            flags += find_collisions(self.names[image], own_labels, statuses[own], index[own].tolist())
            found.append(sorted(flags, key=lambda flag: flag.label_index))
        return found
