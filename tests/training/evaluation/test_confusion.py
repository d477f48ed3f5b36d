import numpy as np
import pytest

from tests.training.evaluation.scenes import image, random_images
from yoloscope.training.evaluation.confusion import confusion_matrix

A, B, C = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (40.0, 0.0, 50.0, 10.0)


def test_right_confused_missed_and_spurious() -> None:
    images = [
        image([(0, A), (1, B)], [(0, 0.9, A), (0, 0.8, B)]),
        image([(1, C)], [(1, 0.7, A)], image_id=2),
    ]
    confusion = confusion_matrix(images, 2)
    assert confusion.matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert confusion.precision.tolist() == [0.5, 0.0]
    assert confusion.recall.tolist() == [1.0, 0.0]


def test_a_confident_wrong_class_does_not_take_the_object_from_the_right_one() -> None:
    confusion = confusion_matrix([image([(0, A)], [(1, 0.9, A), (0, 0.5, A)])], 2)
    assert confusion.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_duplicate_is_a_detection_of_nothing() -> None:
    assert confusion_matrix([image([(0, A)], [(0, 0.9, A), (0, 0.8, A)])], 1).matrix.tolist() == [[1, 0], [1, 0]]


def test_scores_below_the_threshold_do_not_count() -> None:
    evaluated = image([(0, A)], [(0, 0.25, A), (0, 0.24, B)])
    assert confusion_matrix([evaluated], 1).matrix.tolist() == [[1, 0], [0, 0]]
    assert confusion_matrix([evaluated], 1, score_threshold=0.5).matrix.tolist() == [[0, 1], [0, 0]]


def test_crowds_and_what_lies_in_them_are_left_out() -> None:
    evaluated = image([(0, A), (0, B)], [(0, 0.9, A), (0, 0.8, A)], crowd=[0])
    assert confusion_matrix([evaluated], 1).matrix.tolist() == [[0, 1], [0, 0]]


def test_without_anything_rates_are_unknown() -> None:
    confusion = confusion_matrix([image([], [])], 2)
    assert confusion.matrix.sum() == 0
    assert np.isnan(confusion.precision).all()
    assert np.isnan(confusion.recall).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_sum_to_objects_and_columns_to_detections(seed: int) -> None:
    images = random_images(np.random.default_rng(seed), 20, 3)
    for evaluated in images:
        evaluated.truth.crowd[:] = False
    matrix = confusion_matrix(images, 3, score_threshold=0).matrix
    objects = np.bincount(np.concatenate([evaluated.truth.class_ids for evaluated in images]), minlength=3)
    detections = np.bincount(np.concatenate([evaluated.detections.class_ids for evaluated in images]), minlength=3)
    assert matrix[:-1].sum(axis=1).tolist() == objects.tolist()
    assert matrix[:, :-1].sum(axis=0).tolist() == detections.tolist()
