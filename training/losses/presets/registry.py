"""From what a caller says to the preset that is computed.

The named presets, each with the source of its rules and its departures from it.

docs/losses.md says what the documents are that sources cite by number.
"""

from __future__ import annotations

from yoloscope.models.errors import PresetError
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.losses.darknet.keys import translate
from yoloscope.training.losses.darknet.presets import DarknetPreset, DetectionRules, RegionRules, YoloRules
from yoloscope.training.losses.presets.article import ArticlePreset
from yoloscope.training.losses.presets.base import Preset, Weights
from yoloscope.training.losses.presets.walkthrough import WalkthroughPreset

AnyPreset = Preset | DarknetPreset | WalkthroughPreset | ArticlePreset

V1 = Preset(
    name="v1",
    source="document 000, YOLOv1: x, y, w, h, C logistic, p softmax; squared errors, roots of w and h, "
    "lambda_coord 5, lambda_noobj 0.5. C aims at the current IoU, a constant for the gradient. One object per cell: "
    "the first labelled one.",
    decode_xy="sigmoid",
    decode_wh="sigmoid",
    class_activation="softmax",
    match="cell_best_iou",
    collision="first",
    ignore_threshold=None,
    objectness_target="iou",
    objectness_loss="mse",
    box_loss="mse_sqrt",
    class_loss="mse",
    weights=Weights(xy=5.0, wh=5.0, objectness=1.0, no_objectness=0.5, classification=1.0),
)
V2 = Preset(
    name="v2",
    source="document 000, YOLOv2: squared errors of x, y (in cells) and w, h (as fractions, the unit that "
    "2 - w*h needs), p softmax; 1^noobj leaves out predictors with MaxIoU above 0.6 (document 002; darknet thresh). "
    "lambda_obj 5, the others 1 (yolov2-voc.cfg).",
    decode_xy="sigmoid",
    decode_wh="exp",
    class_activation="softmax",
    match="best_anchor_of_head",
    collision="last",
    ignore_threshold=0.6,
    objectness_target="iou",
    objectness_loss="mse",
    box_loss="mse",
    box_size_weight=True,
    class_loss="mse",
    weights=Weights(xy=1.0, wh=1.0, objectness=5.0, no_objectness=1.0, classification=1.0),
)
V3 = Preset(
    name="v3",
    source="document 000, YOLOv3: squared errors on t, gated by IoU(anchor, truth) > 0.5 and weighted by "
    "2 - w*h; BCE for objectness and classes; predictions with MaxIoU above 0.5 are ignored. All lambdas 1. Targets "
    "for t are held within +-8, because a center on a cell's border has none.",
    decode_xy="sigmoid",
    match="best_anchor",
    collision="last",
    ignore_threshold=0.5,
    box_loss="mse_t",
    box_size_weight=True,
    box_iou_gate=0.5,
)
V4 = Preset(
    name="v4",
    source="document 000, YOLOv4: 1 - CIoU, BCE for objectness and classes; the best anchor and every other "
    "above iou_thresh 0.213, ignore 0.7 (yolov4.cfg). lambda_coord 5, the weight of document 000's v1: darknet's 0.07 "
    "multiplies deltas without the chain rule and corresponds to 5 to 18 on x and y. Objects that share a predictor "
    "are averaged.",
    weights=Weights(box=5.0),
)
V1_WALKTHROUGH = WalkthroughPreset(name="v1-walkthrough")
ARTICLE_MSE = ArticlePreset(name="article-mse", variant="mse")
ARTICLE_MASKED = ArticlePreset(name="article-masked", variant="masked")
ARTICLE_IOU = ArticlePreset(name="article-iou", variant="iou")
V1_DARKNET = DetectionRules(
    name="v1-darknet",
    source="AlexeyAB/darknet src/detection_layer.c, forward_detection_layer; scales of cfg/yolov1/yolo.cfg",
    noobject_scale=0.5,
    coord_scale=5.0,
    rescore=True,
)
V2_DARKNET = RegionRules(
    name="v2-darknet",
    source="AlexeyAB/darknet src/region_layer.c, forward_region_layer; scales of cfg/yolov2-voc.cfg. An object "
    "without area, which darknet writes to predictor 0 of image 0, is lost",
    object_scale=5.0,
    thresh=0.6,
    bias_match=True,
    rescore=True,
)
V2_PJREDDIE = V2_DARKNET.replace(
    name="v2-pjreddie",
    source="pjreddie/darknet src/region_layer.c: box deltas times 2 - w*h, no logistic derivative",
    size_weight=True,
    chain_rule=False,
)
V3_DARKNET = YoloRules(
    name="v3-darknet",
    source="AlexeyAB/darknet src/yolo_layer.c, process_batch; yolov3.cfg with the parser's iou_normalizer of 0.75",
    ignore_thresh=0.7,
)
V3_PJREDDIE = YoloRules(
    name="v3-pjreddie",
    source="pjreddie/darknet src/yolo_layer.c: no class gate, iou_normalizer 1, the last object on a predictor stays",
    ignore_thresh=0.7,
    iou_normalizer=1.0,
    accumulate=False,
    class_gate=None,
)
V4_DARKNET = YoloRules(
    name="v4-darknet",
    source="AlexeyAB/darknet src/yolo_layer.c and src/box.c (dx_box_iou); yolov4.cfg. Not the gradient of any loss: "
    "the chain rule from the box to x, y is left out",
    ignore_thresh=0.7,
    iou_thresh=0.213,
    iou_loss="ciou",
    iou_normalizer=0.07,
    max_delta=5.0,
)

PRESETS: dict[str, AnyPreset] = {
    preset.name: preset
    for preset in (
        V1,
        V2,
        V3,
        V4,
        V1_WALKTHROUGH,
        ARTICLE_MSE,
        ARTICLE_MASKED,
        ARTICLE_IOU,
        V1_DARKNET,
        V2_DARKNET,
        V2_PJREDDIE,
        V3_DARKNET,
        V3_PJREDDIE,
        V4_DARKNET,
    )
}


_KINDS_OF_MATCH = {"cell_best_iou": {"detection"}}
_ANCHOR_KINDS = {"yolo", "region"}


def resolve_preset(preset: str | AnyPreset | None, spec: DetectorSpec) -> AnyPreset:
    """Return the preset to compute for a detector; raise PresetError if there is none or it does not fit its heads.

    None stands for the spec's own preset. The spec's overrides apply where the name is the spec's own.
    """
    if preset is None:
        preset = spec.loss.preset
    if isinstance(preset, str):
        preset = _named(preset, spec)
    _require_fit(preset, spec)
    return preset


def _named(name: str, spec: DetectorSpec) -> AnyPreset:
    if name not in PRESETS:
        raise PresetError(f"unknown loss preset {name!r}; known presets: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if name != spec.loss.preset or not spec.loss.overrides:
        return preset
    if isinstance(preset, DarknetPreset):
        return preset.replace(**translate(preset.kind, spec.loss.overrides))
    return preset.replace(**spec.loss.overrides)


def _require_fit(preset: AnyPreset, spec: DetectorSpec) -> None:
    kinds = {head.kind for head in spec.heads}
    if "gaussian_yolo" in kinds:
        raise PresetError("gaussian_yolo heads have no loss preset: their boxes carry an uncertainty that none defines")
    if spec.class_tree is not None or any(head.class_activation == "tree" for head in spec.heads):
        raise PresetError("a detector with hierarchical classes has no loss preset")
    allowed = _allowed_kinds(preset)
    if not kinds <= allowed:
        raise PresetError(f"preset {preset.name!r} needs {' or '.join(sorted(allowed))} heads, got {sorted(kinds)}")
    if isinstance(preset, Preset) and preset.class_weights and len(preset.class_weights) != spec.num_classes:
        raise PresetError(
            f"preset key 'class_weights': expected {spec.num_classes}, one per class, got {len(preset.class_weights)}"
        )
    activated = [i for i, head in enumerate(spec.heads) if head.kind == "yolo" and head.activation == "none"]
    if activated and isinstance(preset, Preset):
        raise PresetError(f"preset {preset.name!r} needs logits, but head {activated[0]} ends without a logistic")


def _allowed_kinds(preset: AnyPreset) -> set[str]:
    if isinstance(preset, DarknetPreset):
        return {preset.kind}
    if isinstance(preset, Preset):
        return _KINDS_OF_MATCH.get(preset.match, _ANCHOR_KINDS)
    return {"detection"}
