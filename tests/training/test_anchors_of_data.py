"""Anchors of a data set: sizes in network pixels by hand, what is refused, the comparison with published ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yoloscope.models import registry
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.spec import DetectorSpec, ResizeSpec
from yoloscope.training.anchors import compare_anchors, fit_dataset_anchors, object_shapes_px
from yoloscope.training.data.datasets import DetectionDataset, open_dataset

SIZES: list[tuple[float, float]] = [(10, 20), (40, 20), (20, 60), (80, 40), (60, 90), (150, 80)]


def dataset(folder: Path, sizes: list[tuple[float, float]]) -> DetectionDataset:
    """Write and open one image of 200x100 with boxes of these sizes at its corner, and one without area."""
    Image.new("RGB", (200, 100)).save(folder / "a.png")
    boxes = [(0, 0, *size) for size in (*sizes, (0, 5))]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "annotations": [
            {"id": 1 + index, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for index, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "instances_train.json").write_text(json.dumps(document))
    return open_dataset(folder, "train")


def spec_of(name: str, placement: str = "stretch") -> DetectorSpec:
    spec = registry.build(name, 1, input_size=(128, 128)).spec
    return spec.model_copy(update={"resize": ResizeSpec.model_validate({"placement": placement})})


def test_shapes_are_in_network_pixels_without_boxes_of_no_area(tmp_path: Path) -> None:
    """128/200 in x; 128/100 in y, or as in x where the sides keep their ratio."""
    data = dataset(tmp_path, SIZES)
    stretched = object_shapes_px(data, spec_of("yolov3-tiny"))
    np.testing.assert_allclose(stretched, np.array(SIZES) * (0.64, 1.28))
    kept = object_shapes_px(data, spec_of("yolov3-tiny", "letterbox"))
    np.testing.assert_allclose(kept, np.array(SIZES) * 0.64)


def test_as_many_anchors_as_sizes_are_those_sizes(tmp_path: Path) -> None:
    data = dataset(tmp_path, SIZES)
    comparison = compare_anchors(data, spec_of("yolov4-tiny"))
    assert comparison.fitted.anchors_px == tuple((round(0.64 * w, 1), round(1.28 * h, 1)) for w, h in SIZES)
    assert comparison.fitted.masks == ((3, 4, 5), (0, 1, 2))
    assert comparison.fitted.quality.mean_best_iou > 0.99
    assert comparison.num_objects == 6
    assert comparison.multi_iou == 0.213


def test_published_anchors_lose_what_has_no_head(tmp_path: Path) -> None:
    """Anchor 0 (10, 14) of yolov4-tiny has no head; (10, 3) overlaps it by 30/140, (23, 27) by 30/621."""
    data = dataset(tmp_path, [(10, 20), (40, 20), (20, 60), (80, 40), (60, 90), (10 / 0.64, 3 / 1.28)])
    published = compare_anchors(data, spec_of("yolov4-tiny")).published
    assert published.lost == (5,)
    assert compare_anchors(data, spec_of("yolov3-tiny")).published.lost == ()


def test_a_number_of_anchors(tmp_path: Path) -> None:
    data = dataset(tmp_path, SIZES)
    fit = fit_dataset_anchors(data, spec_of("yolov3"), count=6)
    assert fit.masks == ((4, 5), (2, 3), (0, 1))
    assert fit_dataset_anchors(data, spec_of("yolov2"), count=3).masks == ((0, 1, 2),)


def test_what_cannot_be_fitted(tmp_path: Path) -> None:
    data = dataset(tmp_path, SIZES)
    with pytest.raises(ConfigError, match="a multiple of the 3 heads of yolov3 as count, got 4"):
        fit_dataset_anchors(data, spec_of("yolov3"), count=4)
    with pytest.raises(ConfigError, match=r"at least 9 boxes of distinct width and height .* got 6"):
        fit_dataset_anchors(data, spec_of("yolov3"))
    with pytest.raises(ConfigError, match="expected a network that has anchors, got yolov1"):
        fit_dataset_anchors(data, spec_of("yolov1-tiny"))
    with pytest.raises(DatasetError, match=r"expected labeled objects in .* got none"):
        fit_dataset_anchors(dataset(tmp_path, []), spec_of("yolov3"))
