import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.datasets.folders import write_coco, write_text, write_voc, write_yolo
from tests.training.evaluation.stand_in import StandIn, spec_of
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.evaluation.evaluate import evaluate
from yoloscope.training.evaluation.predict import PredictionSettings, predict_images
from yoloscope.training.evaluation.report.document import to_document


@pytest.mark.parametrize("placement", ["stretch", "letterbox"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_boxes_come_back_in_pixels_of_the_image(tmp_path: Path, placement: str, batch_size: int) -> None:
    dataset = open_dataset(write_voc(tmp_path))
    detector = StandIn(dataset, spec_of(("dog", "bird", "cat"), placement))
    found = list(predict_images(detector, dataset.images, PredictionSettings(batch_size=batch_size)))
    assert detector.calls == [(1, 32, 64, 3)] + [(batch_size, 32, 64, 3)] * (2 // batch_size)
    for one, image in zip(found, dataset.images, strict=True):
        np.testing.assert_allclose(one.detections.boxes_xyxy, image.labels.boxes_xyxy_px, atol=1e-5)
        assert min(one.read_ms, one.place_ms, one.network_ms) > 0


def test_only_the_best_detections_are_kept(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(tmp_path))
    detector = StandIn(dataset, spec_of(("cat", "dog")))
    found = list(predict_images(detector, dataset.images, PredictionSettings(max_detections=1)))
    assert [one.detections.scores.tolist() for one in found] == [[pytest.approx(0.9)], [pytest.approx(0.9)]]


def test_a_detector_that_finds_all_is_perfect_whatever_the_order_of_its_classes(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(tmp_path))
    detector = StandIn(dataset, spec_of(("dog", "bird", "cat")))
    done: list[int] = []
    result = evaluate(detector, dataset, progress=done.append)
    assert result.coco.numbers["AP"] == pytest.approx(1)
    assert result.voc.mean_11_point == pytest.approx(1)
    assert result.confusion.matrix.diagonal().tolist() == [2, 0, 1, 0]
    assert result.confusion.matrix.sum() == 3
    assert sum(result.tide.counts.values()) == 0
    assert result.dataset.class_names == ("dog", "bird", "cat")
    assert sum(done) == 2
    assert detector.thresholds == {(0.001, 0.45)}


def test_labels_that_nothing_can_match_are_left_out_and_named(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    whole = open_dataset(tmp_path)
    write_text(tmp_path / "labels/val/b.txt", "1 .1 .1 .2 .2\n0 .5 .5 0 .2\n")
    result = evaluate(StandIn(whole, spec_of(("cat", "dog"))), open_dataset(tmp_path))
    assert result.num_objects == 3
    assert result.coco.numbers["AR100"] == pytest.approx(1)
    assert len(result.left_out) == 1
    assert "b.txt#/lines/1: expected a box of positive width" in result.left_out[0]


def test_a_data_set_with_gaps_is_refused(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(tmp_path))
    (tmp_path / "JPEGImages/b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"b\.jpg: expected an image"):
        evaluate(StandIn(dataset, spec_of(("cat", "dog"))), open_dataset(tmp_path))


def test_a_model_without_a_class_is_refused(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(tmp_path))
    with pytest.raises(DatasetError, match="one without cat; it knows dog"):
        evaluate(StandIn(open_dataset(write_voc(tmp_path), "test"), spec_of(("dog",))), dataset)


def test_the_document_has_the_twelve_numbers_at_its_top_and_no_nan(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_dataset(tmp_path)
    result = evaluate(StandIn(dataset, spec_of(("cat", "dog", "bird"))), dataset)
    document = json.loads(json.dumps(to_document(result), allow_nan=False))
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert list(document)[:12] == names
    assert document["AP50"] == pytest.approx(1)
    assert document["APl"] == -1
    assert document["data"]["split"] == "val2017"
    assert [row["class_name"] for row in document["classes"]] == ["cat", "dog"]
    assert document["confusion"]["classes"] == ["cat", "dog", "bird", "background"]
    assert len(document["curves"]["recall"]) == len(document["curves"]["classes"]["cat"]["precision"]) == 101
    assert document["tide"]["counts"]["missed"] == 0
    assert document["speed"]["network"]["median_ms"] > 0
