"""The built-in model, the list of official weights and the class names that go with them."""

from pathlib import Path

from yoloscope.models.zoo.class_names import COCO, VOC
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights, official_weights

BUILTIN = Path(__file__).with_name("builtin.onnx")
"""The detector of blood cells that comes along; its card is docs/builtin.md."""

__all__ = ["BUILTIN", "COCO", "OFFICIAL", "VOC", "OfficialWeights", "official_weights"]
