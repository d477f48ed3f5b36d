"""Detections as the entries of an answer: native, COCO or YOLO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from yoloscope.app.schemas.detect import (
    AnswerFormat,
    CenterBox,
    CocoAnswer,
    CocoDetection,
    CocoResult,
    CornerBox,
    DetectAnswer,
    ImageSize,
    NativeAnswer,
    NativeDetection,
    NativeResult,
    YoloAnswer,
    YoloDetection,
    YoloResult,
)
from yoloscope.app.services.detection import DetectRun
from yoloscope.app.services.inference import ImageDetections
from yoloscope.models.detections import Detections

_COCO_GAPS: Final = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Category ids in 1..90 that COCO's 80 detection classes leave out."""
COCO_CATEGORY_IDS: Final = tuple(index for index in range(1, 91) if index not in _COCO_GAPS)
_COCO_MARKS: Final = {0: "person", 16: "dog", 24: "backpack", 60: "diningtable", 61: "toilet", 79: "toothbrush"}


def is_coco(class_names: Sequence[str]) -> bool:
    """Return whether these are COCO's 80 classes in their usual order; spellings of a few differ between lists."""
    return len(class_names) == 80 and all(
        class_names[index].replace(" ", "") == name for index, name in _COCO_MARKS.items()
    )


def answer(run: DetectRun, answer_format: AnswerFormat) -> DetectAnswer:
    """Return the answer document of a run in one of the formats."""
    return _BUILDERS[answer_format](run)


def _native(run: DetectRun) -> NativeAnswer:
    names = run.runtime.spec.class_names
    return NativeAnswer(
        model=run.model,
        version=run.runtime.version,
        results=[
            NativeResult(image=_size(found), truncated=_cut(found), detections=native_rows(found.detections, names))
            for found in run.results
        ],
        timing_ms=run.timing.milliseconds(),
    )


def native_rows(detections: Detections, names: Sequence[str]) -> list[NativeDetection]:
    """Return one native entry per detection."""
    return [
        NativeDetection(
            class_id=class_id,
            class_name=names[class_id],
            score=score,
            box=CornerBox(x1=x1, y1=y1, x2=x2, y2=y2),
        )
        for class_id, score, (x1, y1, x2, y2) in _rows(detections)
    ]


def _coco(run: DetectRun) -> CocoAnswer:
    ids = COCO_CATEGORY_IDS if is_coco(run.runtime.spec.class_names) else range(len(run.runtime.spec.class_names))
    return CocoAnswer(
        model=run.model,
        version=run.runtime.version,
        results=[
            CocoResult(
                image=_size(found),
                truncated=_cut(found),
                detections=[
                    CocoDetection(
                        image_id=index, category_id=ids[class_id], bbox=[x1, y1, x2 - x1, y2 - y1], score=score
                    )
                    for class_id, score, (x1, y1, x2, y2) in _rows(found.detections)
                ],
            )
            for index, found in enumerate(run.results)
        ],
        timing_ms=run.timing.milliseconds(),
    )


def _yolo(run: DetectRun) -> YoloAnswer:
    return YoloAnswer(
        model=run.model,
        version=run.runtime.version,
        results=[_yolo_result(found, run.runtime.spec.class_names) for found in run.results],
        timing_ms=run.timing.milliseconds(),
    )


def _yolo_result(found: ImageDetections, names: Sequence[str]) -> YoloResult:
    detections = [
        YoloDetection(
            class_id=class_id,
            class_name=names[class_id],
            score=score,
            box=CenterBox(
                cx=(x1 + x2) / 2 / found.width,
                cy=(y1 + y2) / 2 / found.height,
                w=(x2 - x1) / found.width,
                h=(y2 - y1) / found.height,
            ),
        )
        for class_id, score, (x1, y1, x2, y2) in _rows(found.detections)
    ]
    labels = "".join(
        f"{d.class_id} {d.box.cx:.6f} {d.box.cy:.6f} {d.box.w:.6f} {d.box.h:.6f} {d.score:.6f}\n" for d in detections
    )
    return YoloResult(image=_size(found), truncated=_cut(found), detections=detections, labels=labels)


def _rows(detections: Detections) -> list[tuple[int, float, list[float]]]:
    return list(
        zip(detections.class_ids.tolist(), detections.scores.tolist(), detections.boxes_xyxy.tolist(), strict=True)
    )


def _size(found: ImageDetections) -> ImageSize:
    return ImageSize(width=found.width, height=found.height)


def _cut(found: ImageDetections) -> bool | None:
    return True if found.truncated else None


_BUILDERS: Final[dict[AnswerFormat, Callable[[DetectRun], DetectAnswer]]] = {
    "native": _native,
    "coco": _coco,
    "yolo": _yolo,
}
