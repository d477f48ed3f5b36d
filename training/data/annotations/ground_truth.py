"""Labels of placed images as the ground truth of a loss: tensors, in fractions of the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from yoloscope.models.boxes import xyxy_to_cxcywh
from yoloscope.models.preprocess import Placement
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.data.annotations.reading import check_labels
from yoloscope.training.data.annotations.structures import ImageLabels


def network_boxes(labels: ImageLabels, placement: Placement, spec: DetectorSpec) -> NDArray[np.float64]:
    """Return the corner boxes [N, 4] of all objects as fractions of the network input."""
    size = np.array((spec.input_width, spec.input_height) * 2, np.float64)
    boxes: NDArray[np.float64] = placement.apply(labels.boxes_xyxy_px) / size
    return boxes


def to_ground_truth(labels: Sequence[ImageLabels], placements: Sequence[Placement], spec: DetectorSpec) -> GroundTruth:
    """Return the objects of a batch of placed images, float32, in the order of their files.

    Crowd regions are left out: they are no single objects, and neither darknet's nor COCO's own labels train on them.
    Raises LabelError naming every object of an unknown class or with an impossible box.
    """
    boxes, class_ids, image_index = [], [], []
    for index, (image, placement) in enumerate(zip(labels, placements, strict=True)):
        check_labels(image)
        single = [row for row, label in enumerate(image.objects) if not label.crowd]
        boxes.append(network_boxes(image, placement, spec)[single])
        class_ids.append(image.class_ids[single])
        image_index.append(np.full(len(single), index, np.int64))
    if not labels:
        return GroundTruth.empty(0)
    return GroundTruth(
        xyxy_to_cxcywh(torch.from_numpy(np.concatenate(boxes))).float(),
        torch.from_numpy(np.concatenate(class_ids)),
        torch.from_numpy(np.concatenate(image_index)),
        len(labels),
    )
