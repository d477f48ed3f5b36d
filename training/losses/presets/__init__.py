"""Loss presets by name; each module holds the equation, the preset, and the functions of its terms.

Importing a module of box losses here registers them.

docs/losses.md typesets the equations and lists the papers and texts that sources cite.
"""

from yoloscope.training.losses import iou_losses as iou_losses  # registers its box losses
from yoloscope.training.losses.preset import LossPreset
from yoloscope.training.losses.presets.article import ARTICLE_IOU, ARTICLE_MASKED, ARTICLE_MSE
from yoloscope.training.losses.presets.v1 import V1, V1_DARKNET
from yoloscope.training.losses.presets.v2 import V2, V2_DARKNET, V2_PJREDDIE
from yoloscope.training.losses.presets.v3 import V3, V3_DARKNET, V3_PJREDDIE
from yoloscope.training.losses.presets.v4 import V4, V4_DARKNET
from yoloscope.training.losses.presets.walkthrough import V1_WALKTHROUGH

PRESETS: dict[str, LossPreset] = {
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

__all__ = ["PRESETS", "LossPreset"]
