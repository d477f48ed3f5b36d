"""The list of official weights and the class names that go with them."""

from models.zoo.class_names import COCO, VOC
from models.zoo.official import OFFICIAL, OfficialWeights, official_weights

__all__ = ["COCO", "OFFICIAL", "VOC", "OfficialWeights", "official_weights"]
