import numpy as np
import pytest

from tests.training.evaluation.scenes import image
from yoloscope.training.evaluation.average_precision import all_point_ap, interpolated_ap, precision_recall
from yoloscope.training.evaluation.voc import evaluate_voc

A, B, C = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (40.0, 0.0, 50.0, 10.0)


def test_right_wrong_right_of_two_objects() -> None:
    """Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: six of eleven points at 1 and five at 2/3."""
    scores, correct = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    recall, precision = precision_recall(scores, correct, 2)
    assert recall.tolist() == [0.5, 0.5, 1.0]
    assert precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert interpolated_ap(recall, precision, 11) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert interpolated_ap(recall, precision, 101) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert all_point_ap(recall, precision) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_recall_not_reached_counts_zero_and_nothing_found_is_zero() -> None:
    recall, precision = precision_recall(np.array([0.9]), np.array([True]), 4)
    assert interpolated_ap(recall, precision, 11) == pytest.approx(3 / 11)
    assert all_point_ap(recall, precision) == pytest.approx(0.25)
    none = precision_recall(np.zeros(0), np.zeros(0, np.bool_), 4)
    assert interpolated_ap(*none, 11) == all_point_ap(*none) == 0.0


def test_over_images_and_classes() -> None:
    images = [
        image([(0, A), (1, B)], [(0, 0.9, A), (0, 0.8, C)]),
        image([(0, A)], [(0, 0.7, A), (2, 0.6, A)], image_id=2),
    ]
    result = evaluate_voc(images, 3)
    assert result.ap_all_point[:2] == pytest.approx([0.5 + 0.5 * 2 / 3, 0])
    assert np.isnan(result.ap_all_point[2])
    assert result.mean_all_point == pytest.approx((0.5 + 0.5 * 2 / 3) / 2)
    assert result.mean_11_point == pytest.approx((6 + 5 * 2 / 3) / 22)


def test_a_detection_has_no_second_choice() -> None:
    """The second detection overlaps the first object most (.82), which is taken, though the other would do (.54)."""
    near = (3.0, 0.0, 13.0, 10.0)
    rows = [(0, 0.9, A), (0, 0.8, (1.0, 0.0, 11.0, 10.0))]
    assert evaluate_voc([image([(0, A), (0, near)], rows)], 1).ap_all_point[0] == pytest.approx(0.5)


def test_the_threshold_itself_is_not_enough() -> None:
    half = (0.0, 0.0, 10.0, 5.0)
    assert evaluate_voc([image([(0, A)], [(0, 0.9, half)])], 1).ap_all_point[0] == 0.0


def test_difficult_objects_and_crowds_count_neither_way() -> None:
    rows = [(0, 0.9, A), (0, 0.8, A), (0, 0.7, B), (0, 0.6, C)]
    evaluated = image([(0, A), (0, B), (0, C)], rows, crowd=[1], difficult=[0])
    assert evaluate_voc([evaluated], 1).ap_all_point[0] == 1.0


def test_without_objects_there_is_no_mean() -> None:
    result = evaluate_voc([image([], [(0, 0.9, A)])], 1)
    assert result.mean_11_point is None
    assert result.mean_all_point is None
