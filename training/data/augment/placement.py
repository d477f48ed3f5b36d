"""Bringing a sample to the network's input as the service will: stretched or letterboxed."""

from __future__ import annotations

from models.preprocess import place
from models.spec import DetectorSpec
from training.data.augment.visibility import STANDARD_VISIBILITY, Visibility, clip_boxes
from training.data.sample import Sample


def place_sample(sample: Sample, spec: DetectorSpec, visibility: Visibility = STANDARD_VISIBILITY) -> Sample:
    """Return the sample as network input of ``spec``, boxes in network pixels.

    Only the input size and ``spec.resize`` are read. Boxes are cut to the picture first, for labels that reach beyond
    it; one that lies inside always stays, however small it becomes.
    """
    image, placement = place(sample.image, spec)
    inside = clip_boxes(sample.boxes_xyxy_px, (0, 0, sample.width, sample.height))
    rows = visibility.rows(sample.boxes_xyxy_px, inside)
    return sample.select(rows, image, placement.apply(inside))
