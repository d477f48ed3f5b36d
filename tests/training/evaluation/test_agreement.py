"""AP of variants without labels: the truth is what the original finds in smaller images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.training.evaluation.stand_in import spec_of
from yoloscope.models.detections import Detections
from yoloscope.models.preprocess import preprocess
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.evaluation.agreement import average_precisions, with_labels, with_own_detections

SPEC = spec_of(("square",))


class BrightBox:
    """Finds the rectangle of the bright pixels, shifted by some network pixels."""

    spec = SPEC

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def detect(
        self, images: NDArray[np.float32], score_threshold: Sequence[float], iou_threshold: Sequence[float]
    ) -> list[Detections]:
        assert len(images) == len(score_threshold) == len(iou_threshold) == 1
        rows, columns = np.nonzero(images[0, :, :, 0] > 200)
        box = [columns.min() + self.shift, rows.min(), columns.max() + 1 + self.shift, rows.max() + 1]
        return [Detections(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))]


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two images of the network's size with a white rectangle each, and YOLO labels."""
    paths = []
    (tmp_path / "data.yaml").write_text("train: images\nnames: [square]\n")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, left in enumerate((8, 24)):
        levels = np.full((32, 64, 3), 20, np.uint8)
        levels[8:24, left : left + 24] = 255
        path = tmp_path / "images" / f"{number}.png"
        Image.fromarray(levels).save(path)
        (tmp_path / "labels" / f"{number}.txt").write_text(f"0 {(left + 12) / 64} 0.5 {24 / 64} 0.5\n")
        paths.append(path)
    return paths


def test_what_is_found_in_smaller_images_is_brought_back(photos: list[Path]) -> None:
    for path, judged, left in zip(photos, with_own_detections(photos, BrightBox()), (8, 24), strict=True):
        np.testing.assert_array_equal(judged.placed, preprocess(np.asarray(Image.open(path)), SPEC)[0])
        np.testing.assert_allclose(judged.truth.boxes_xyxy_px, [[left, 8, left + 24, 24]], atol=1.2)
        assert judged.truth.class_ids.tolist() == [0]


@pytest.mark.parametrize("truth", ["labels", "agreement"])
def test_ap_falls_with_what_a_variant_gets_wrong(photos: list[Path], truth: str) -> None:
    original, near, far = BrightBox(), BrightBox(2.0), BrightBox(16.0)
    images = open_dataset(photos[0].parents[1]).for_model(SPEC.class_names).images
    judged: Any = with_labels(images, SPEC) if truth == "labels" else with_own_detections(photos, original)
    precisions = average_precisions([original, near, far], judged)
    assert precisions[0] > precisions[1] > precisions[2] == 0.0
    if truth == "labels":  # 22 of 26 columns are shared by the shifted box: IoU 0.846, above 7 of the 10 thresholds
        assert precisions[:2] == pytest.approx([1.0, 0.7])
