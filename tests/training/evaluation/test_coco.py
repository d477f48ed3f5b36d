import numpy as np
import pytest

from tests.training.evaluation.oracle import pycocotools_numbers
from tests.training.evaluation.scenes import Box, image, random_images
from yoloscope.training.evaluation.coco import COCO_NAMES, detection_rows, evaluate_coco, truth_document

SMALL: Box = (0, 0, 10, 10)
MEDIUM: Box = (20, 20, 70, 70)
LARGE: Box = (100, 100, 300, 300)


@pytest.mark.parametrize("seed", range(4))
def test_numbers_and_curves_are_those_of_pycocotools(seed: int) -> None:
    images = random_images(np.random.default_rng(seed), 60, 5)
    assert any(one.truth.crowd.any() for one in images)
    result = evaluate_coco(images, 6)
    numbers, precision = pycocotools_numbers(truth_document(images, 6), detection_rows(images))
    assert list(result.numbers) == list(COCO_NAMES)
    np.testing.assert_allclose(list(result.numbers.values()), numbers, rtol=0, atol=1e-9)
    assert 0.05 < numbers[0] < 0.95
    known = np.where(precision < 0, np.nan, precision)[..., 0, -1]
    np.testing.assert_allclose(result.precision50, known[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.ap, known.mean(axis=(0, 1)), rtol=0, atol=1e-9)
    assert np.isnan(result.ap[5])


def test_perfect_detections_are_all_ones() -> None:
    objects = [(0, SMALL), (1, MEDIUM), (0, LARGE)]
    result = evaluate_coco([image(objects, [(class_id, 0.9, box) for class_id, box in objects])], 2)
    expected = dict.fromkeys(COCO_NAMES, 1.0) | {"AR1": 0.75}
    assert result.numbers == pytest.approx(expected)
    assert result.ap50.tolist() == [1.0, 1.0]


def test_one_of_two_found_is_half() -> None:
    result = evaluate_coco([image([(0, MEDIUM), (0, LARGE)], [(0, 0.5, LARGE)])], 1)
    assert result.numbers["AP50"] == pytest.approx(51 / 101)
    assert result.numbers["AR100"] == pytest.approx(0.5)
    assert result.numbers["APm"] == 0.0
    assert result.numbers["APs"] == -1.0
    np.testing.assert_allclose(result.precision50[:, 0], [1.0] * 51 + [0.0] * 50)
    np.testing.assert_allclose(result.scores50[:51, 0], 0.5)


@pytest.mark.parametrize("detections", [[], [(0, 0.5, LARGE)]], ids=["nothing", "something"])
def test_without_objects_there_is_no_number(detections: list[tuple[int, float, Box]]) -> None:
    result = evaluate_coco([image([], detections)], 2)
    assert set(result.numbers.values()) == {-1.0}
    assert np.isnan(result.ap).all()


def test_nothing_found_is_zero() -> None:
    result = evaluate_coco([image([(0, LARGE)], [])], 1)
    assert (result.numbers["AP"], result.numbers["AR100"]) == (0.0, 0.0)


def test_the_stated_area_decides_small_medium_and_large() -> None:
    one = image([(0, LARGE)], [(0, 0.5, LARGE)])
    one.truth.areas_px[:] = 900
    numbers = evaluate_coco([one], 1).numbers
    assert (numbers["APs"], numbers["APm"], numbers["APl"]) == (1.0, -1.0, -1.0)


def test_rows_carry_the_categories_of_the_data_set() -> None:
    rows = detection_rows([image([], [(1, 0.5, (1, 2, 4, 6))], image_id=42)], category_ids=(7, 90))
    assert rows == [{"image_id": 42, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5}]
