"""The anchors of the published networks, and how anchors are shared out among scales.

An anchor is (width, height) in network pixels. Matching of objects to anchors is in ``yoloscope.training.assignment``,
fitting anchors to a data set in ``yoloscope.training.anchors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from yoloscope.models.errors import ConfigError

Anchors = tuple[tuple[float, float], ...]
Masks = tuple[tuple[int, ...], ...]

REGION_STRIDE = 32


class AnchorSet(NamedTuple):
    """Anchors in network pixels, and for each head the indices of those that it uses."""

    anchors_px: Anchors
    masks: Masks


def group_by_stride(anchors_px: Sequence[tuple[float, float]], strides: Sequence[int]) -> AnchorSet:
    """Return the anchors by ascending area, equally many for each stride: the small ones at the small strides.

    Masks come in the order of ``strides``. Raises ConfigError where the anchors cannot be shared out equally or one of
    them has no area.
    """
    if not anchors_px or len(anchors_px) % len(strides):
        raise ConfigError(f"expected as many anchors for each of {len(strides)} heads, got {len(anchors_px)} anchors")
    if any(width <= 0 or height <= 0 for width, height in anchors_px):
        raise ConfigError(f"expected anchors of positive width and height, got {tuple(anchors_px)}")
    ordered = tuple(sorted(((float(w), float(h)) for w, h in anchors_px), key=lambda anchor: anchor[0] * anchor[1]))
    share = len(ordered) // len(strides)
    rank = {stride: position for position, stride in enumerate(sorted(strides))}
    masks = tuple(tuple(range(rank[stride] * share, (rank[stride] + 1) * share)) for stride in strides)
    return AnchorSet(ordered, masks)


def _of_cells(*cells: tuple[float, float]) -> AnchorSet:
    anchors = tuple((width * REGION_STRIDE, height * REGION_STRIDE) for width, height in cells)
    return AnchorSet(anchors, (tuple(range(len(anchors))),))


YOLOV2_VOC = _of_cells(
    (1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071)
)
YOLOV2_COCO = _of_cells(
    (0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828)
)
YOLOV2_TINY_VOC = _of_cells((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))

_LARGE_FIRST: Masks = ((6, 7, 8), (3, 4, 5), (0, 1, 2))
_TINY: Anchors = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))

YOLOV3 = AnchorSet(
    ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326)), _LARGE_FIRST
)
YOLOV3_TINY = AnchorSet(_TINY, ((3, 4, 5), (0, 1, 2)))
YOLOV4 = AnchorSet(
    ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401)),
    _LARGE_FIRST[::-1],
)
# The published file: both heads have anchor 3 and none has anchor 0, and its weights are trained that way.
YOLOV4_TINY = AnchorSet(_TINY, ((3, 4, 5), (1, 2, 3)))
YOLOV4_TINY_3L = AnchorSet(YOLOV4.anchors_px, _LARGE_FIRST)
