"""Loss presets of the official weights beside those that darknet takes from the published cfgs."""

from pathlib import Path

import pytest
import torch

from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.zoo import OFFICIAL, OfficialWeights
from yoloscope.training.losses import get_preset


@pytest.mark.parametrize("official", OFFICIAL.values(), ids=lambda entry: entry.name)
def test_losses_are_those_of_the_published_cfgs(oracles_dir: Path, official: OfficialWeights) -> None:
    path = oracles_dir / "cfg" / ("yolov1/yolo.cfg" if official.name == "yolov1" else f"{official.name}.cfg")
    with torch.device("meta"):
        spec = build_darknet(path, official.class_names).spec
    assert get_preset(None, spec.model_copy(update={"loss": official.loss})) == get_preset(None, spec)
