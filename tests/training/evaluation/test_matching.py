import numpy as np
import torch

from yoloscope.models.boxes import pairwise_iou
from yoloscope.training.evaluation.matching import NO_MATCH, iou_matrix, match_greedily


def test_iou_is_that_of_the_models_and_of_a_crowd_the_share_inside() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 20, 2))
    a, b = np.concatenate((corners, corners + rng.uniform(1, 40, (2, 20, 2))), axis=-1)
    none = np.zeros(20, np.bool_)
    expected = pairwise_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(iou_matrix(a, b, none), expected, rtol=1e-12)
    inside = iou_matrix(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 100, 100]]), np.array([True]))
    assert inside.tolist() == [[0.5]]


def test_boxes_without_area_have_no_overlap() -> None:
    point = np.array([[3.0, 3, 3, 3]])
    assert iou_matrix(point, point, np.zeros(1, np.bool_)).tolist() == [[0.0]]
    assert iou_matrix(np.zeros((0, 4)), point, np.zeros(1, np.bool_)).shape == (0, 1)


def test_a_detection_takes_the_best_free_truth_and_leaves_the_rest() -> None:
    iou = np.array([[0.7, 0.8], [0.6, 0.9], [0.9, 0.9]])
    assert match_greedily(iou, np.zeros(2, np.bool_), 0.5).tolist() == [1, 0, NO_MATCH]


def test_of_equal_overlaps_the_last_is_taken_and_the_threshold_is_enough() -> None:
    assert match_greedily(np.array([[0.5, 0.5]]), np.zeros(2, np.bool_), 0.5).tolist() == [1]
    assert match_greedily(np.array([[0.49, 0.4]]), np.zeros(2, np.bool_), 0.5).tolist() == [NO_MATCH]


def test_a_crowd_takes_many_but_only_what_no_object_takes() -> None:
    iou = np.array([[1.0, 0.6], [1.0, 0.7], [1.0, 0.2]])
    assert match_greedily(iou, np.array([True, False]), 0.5).tolist() == [1, 0, 0]


def test_without_truth_nothing_matches() -> None:
    assert match_greedily(np.zeros((2, 0)), np.zeros(0, np.bool_), 0.5).tolist() == [NO_MATCH, NO_MATCH]
