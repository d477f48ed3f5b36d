"""The weights that the authors of the networks publish.

Sizes are those of the files served, and equal header plus four bytes per parameter of the native network. A sha256 is
given where independent public sources agree on it; a file without one is known by its exact size alone. Tiny YOLOv1 is
not listed: nobody vouches for the size of its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from yoloscope.models.anchors import YOLOV3_TINY, Masks
from yoloscope.models.errors import ModelNotFoundError
from yoloscope.models.spec import DetectorSpec, LossSpec
from yoloscope.models.zoo.class_names import COCO, VOC

_REDMON = "https://pjreddie.com/media/files"
_BOCHKOVSKIY = "https://github.com/AlexeyAB/darknet/releases/download"


@dataclass(frozen=True)
class OfficialWeights:
    """One published .weights file: the native network that it fills, where it is served, how it is recognized.

    ``loss`` is what darknet computes for the cfg that is published with it. ``trained_masks`` are the anchors of each
    head in training, where that cfg has others.
    """

    name: str
    network: str
    url: str
    size: int
    sha256: str | None
    class_names: tuple[str, ...]
    loss: LossSpec
    trained_masks: Masks | None = None

    @property
    def file_name(self) -> str:
        """Name under which the file is published."""
        return self.url.rsplit("/", 1)[-1]

    def recognizes(self, size: int, sha256: str) -> bool:
        """Compare size and, if it is known, sha256 with the published file; the name is the caller's matter."""
        return size == self.size and (self.sha256 is None or sha256 == self.sha256)

    def correct_anchors(self, spec: DetectorSpec) -> DetectorSpec:
        """Return the spec with the anchors of training, where it has those of the published cfg and they differ."""
        published = tuple(head.anchor_indices for head in spec.heads)
        if self.trained_masks is None or (spec.anchors_px, published) != _MISPRINTED.get(self.name):
            return spec
        heads = zip(spec.heads, self.trained_masks, strict=True)
        return spec.model_copy(
            update={"heads": tuple(head.model_copy(update={"anchor_indices": mask}) for head, mask in heads)}
        )


def _entry(
    name: str, url: str, size: int, sha256: str | None, class_names: tuple[str, ...], **overrides: object
) -> OfficialWeights:
    loss = LossSpec(preset=f"{name.removeprefix('yolo')[:2]}-darknet", overrides=overrides)
    return OfficialWeights(name, name, url, size, sha256, class_names, loss, _TRAINED_MASKS.get(name))


_MISPRINTED = {"yolov3-tiny": (YOLOV3_TINY.anchors_px, YOLOV3_TINY.masks)}
_TRAINED_MASKS: Mapping[str, Masks] = {"yolov3-tiny": ((3, 4, 5), (1, 2, 3))}


_ENTRIES = (
    _entry("yolov1", f"{_REDMON}/yolov1/yolov1.weights", 789_312_988, None, VOC),
    _entry(
        "yolov2",
        f"{_REDMON}/yolov2.weights",
        203_934_260,
        "d9945162ed6f54ce1a901e3ec537bdba4d572ecae7873087bd730e5a7942df3f",
        COCO,
    ),
    _entry("yolov2-voc", f"{_REDMON}/yolov2-voc.weights", 202_704_260, None, VOC),
    _entry("yolov2-tiny", f"{_REDMON}/yolov2-tiny.weights", 44_948_600, None, COCO, rescore=0),
    _entry("yolov2-tiny-voc", f"{_REDMON}/yolov2-tiny-voc.weights", 63_471_556, None, VOC),
    _entry(
        "yolov3",
        f"{_REDMON}/yolov3.weights",
        248_007_048,
        "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
        COCO,
    ),
    _entry(
        "yolov3-tiny",
        f"{_REDMON}/yolov3-tiny.weights",
        35_434_956,
        "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
        COCO,
    ),
    _entry(
        "yolov3-spp",
        f"{_REDMON}/yolov3-spp.weights",
        252_209_544,
        "87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4",
        COCO,
    ),
    _entry(
        "yolov4",
        f"{_BOCHKOVSKIY}/darknet_yolo_v3_optimal/yolov4.weights",
        257_717_640,
        "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
        COCO,
    ),
    _entry(
        "yolov4-tiny",
        f"{_BOCHKOVSKIY}/darknet_yolo_v4_pre/yolov4-tiny.weights",
        24_251_276,
        "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        COCO,
        iou_thresh=1.0,
        max_delta=None,
    ),
    _entry(
        "yolov4-csp",
        f"{_BOCHKOVSKIY}/darknet_yolo_v4_pre/yolov4-csp.weights",
        211_944_840,
        None,
        COCO,
        iou_thresh=0.2,
        iou_normalizer=0.05,
        obj_normalizer=(4.0, 1.0, 0.4),
        cls_normalizer=0.5,
        max_delta=(5.0, 5.0, 2.0),
        objectness_smooth=(0, 1, 1),
    ),
)

OFFICIAL: Mapping[str, OfficialWeights] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def official_weights(name: str) -> OfficialWeights:
    """Return the entry of a name; raises ModelNotFoundError with the names that there are."""
    if name not in OFFICIAL:
        raise ModelNotFoundError(f"expected one of the official models {', '.join(OFFICIAL)}, got {name!r}")
    return OFFICIAL[name]


def correct_anchors(spec: DetectorSpec, sha256: str) -> tuple[DetectorSpec, tuple[str, ...]]:
    """Return the spec of an imported cfg with the anchors of its weights, and a note where the cfg has others.

    The published cfg of yolov3-tiny says mask=0,1,2 in its second head, its published weights were trained with 1,2,3
    (github.com/pjreddie/darknet/issues/851). Weights trained with that cfg are right as they are: the published file
    is known by its sha256.
    """
    for entry in OFFICIAL.values():
        corrected = entry.correct_anchors(spec) if entry.sha256 == sha256 else spec
        if corrected != spec:
            masks = " and ".join(",".join(map(str, head.anchor_indices)) for head in corrected.heads)
            note = (
                f"the published weights of {entry.name} were trained with mask {masks}, the cfg has another: corrected"
            )
            return corrected, (f"{note} (github.com/pjreddie/darknet/issues/851)",)
    return spec, ()
