"""Answers for Label Studio: detections and reviews of annotations as regions of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from yoloscope.app.schemas.label_studio import Prediction, Review
from yoloscope.app.schemas.score import ImageScore
from yoloscope.app.services.inference import ImageDetections
from yoloscope.app.services.scoring import ScoreRun
from yoloscope.models.classes import UNKNOWN_CLASS, ClassIndex
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.exchange.label_studio import LabelingConfig, region


def prediction(
    found: ImageDetections, class_names: Sequence[str], config: LabelingConfig, model_version: str
) -> Prediction:
    """Return detections as a prediction with their mean score; classes that the configuration lacks are left out."""
    labels = ClassIndex(config.labels)
    size = found.width, found.height
    regions: list[dict[str, Any]] = []
    rows = zip(
        found.detections.boxes_xyxy.tolist(),
        found.detections.scores.tolist(),
        found.detections.class_ids.tolist(),
        strict=True,
    )
    for index, ((x1, y1, x2, y2), score, class_id) in enumerate(rows):
        known = labels.by_name(class_names[class_id])
        if known != UNKNOWN_CLASS:
            named = region(f"detection-{index}", labels.names[known], (x1, y1, x2, y2), size, config)
            regions.append(named | {"score": score})
    mean = sum(entry["score"] for entry in regions) / max(len(regions), 1)
    return Prediction(result=regions, score=mean, model_version=model_version)


def native_labels(labels: Sequence[tuple[str, BoxXyxy]]) -> bytes:
    """Return labels as native JSON, as they are scored."""
    corners = ("x1", "y1", "x2", "y2")
    objects = [{"class_name": name, "box": dict(zip(corners, box, strict=True))} for name, box in labels]
    return json.dumps({"objects": objects}).encode()


def review(run: ScoreRun, annotation: int | None, unknown_classes: Sequence[str]) -> tuple[Review, ImageScore]:
    """Return what is doubtful about an annotation, in words, and the whole score behind it."""
    from yoloscope.app.responses.score import image_score  # noqa: PLC0415 - PyTorch

    scored = image_score(run.results[0])
    flagged = [
        f"{entry.class_name}, label {entry.index}: {', '.join(entry.flags)}"
        for entry in scored.by_object or ()
        if entry.flags
    ]
    unexplained = [f"{entry.class_name} at a score of {entry.score:.2f}" for entry in scored.unexplained or ()]
    return (
        Review(
            annotation=annotation,
            loss=scored.total,
            objects=scored.objects,
            unknown_classes=sorted(set(unknown_classes)),
            flagged=flagged,
            unexplained=unexplained,
        ),
        scored,
    )


def review_prediction(scored: ImageScore, task: int, config: LabelingConfig, model_version: str) -> dict[str, Any]:
    """Return a review as a prediction of its task: what no label explains, and flagged labels with the reason.

    Its score is the loss, so that Label Studio can sort tasks by it.
    """
    size = scored.image.width, scored.image.height
    doubts = [
        (entry.class_name, entry.box, f"no label explains this {entry.class_name} of score {entry.score:.2f}")
        for entry in scored.unexplained or ()
    ]
    doubts += [
        (entry.class_name, entry.box, f"label {entry.index}: {', '.join(entry.flags)}")
        for entry in scored.by_object or ()
        if entry.flags
    ]
    labels = ClassIndex(config.labels)
    result = []
    for index, (name, box, words) in enumerate(doubts):
        known = labels.by_name(name)
        if known != UNKNOWN_CLASS:
            placed = region(f"doubt-{index}", labels.names[known], (box.x1, box.y1, box.x2, box.y2), size, config)
            result.append(placed | {"meta": {"text": [words]}})
    return {"task": task, "result": result, "score": scored.total, "model_version": f"review by {model_version}"}
