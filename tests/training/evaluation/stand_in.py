"""A detector that answers from a script, and its description."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yoloscope.models.detections import Detections
from yoloscope.models.preprocess import placement_of
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec
from yoloscope.training.data.datasets import DetectionDataset


def spec_of(class_names: tuple[str, ...], placement: str = "stretch") -> DetectorSpec:
    """Return a description with a network of 64x32 pixels."""
    head = HeadSpec(kind="yolo", grid_width=2, grid_height=1, anchor_indices=(0,))
    resize = ResizeSpec.model_validate({"placement": placement})
    return DetectorSpec(
        name="stand-in",
        family="v4",
        class_names=class_names,
        input_width=64,
        input_height=32,
        anchors_px=((8.0, 8.0),),
        heads=(head,),
        resize=resize,
        loss=LossSpec(preset="v4"),
    )


class StandIn:
    """Finds every label of a data set exactly (in network pixels), one image after another, after one warm-up."""

    def __init__(self, dataset: DetectionDataset, spec: DetectorSpec) -> None:
        self.spec = spec
        self.calls: list[tuple[int, ...]] = []
        self.thresholds: set[tuple[float, float]] = set()
        self._script = iter([self._answer(dataset, index) for index in range(len(dataset))])

    def detect(
        self, images: NDArray[np.float32], score_threshold: Sequence[float], iou_threshold: Sequence[float]
    ) -> list[Detections]:
        self.thresholds |= set(zip(score_threshold, iou_threshold, strict=True))
        self.calls.append(images.shape)
        if len(self.calls) == 1:
            empty = np.zeros(0)
            return [
                Detections(empty.astype(np.float32).reshape(0, 4), empty.astype(np.float32), empty.astype(np.int64))
            ]
        return [next(self._script) for _ in images]

    def _answer(self, dataset: DetectionDataset, index: int) -> Detections:
        image = dataset.images[index]
        boxes = placement_of(image.width, image.height, self.spec).apply(image.labels.boxes_xyxy_px)
        names = [dataset.class_names[class_id] for class_id in image.labels.class_ids]
        ids = np.array([self.spec.class_names.index(name) for name in names], np.int64)
        scores = np.linspace(0.9, 0.5, len(ids), dtype=np.float32)
        return Detections(boxes.astype(np.float32), scores, ids)
