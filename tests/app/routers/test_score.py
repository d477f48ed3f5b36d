"""POST /v1/score: the answer equals the library's, adds up, and speaks of the image's own pixels."""

import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.app.client import Client
from tests.app.scoring import (
    HEIGHT,
    LABELS,
    NAMES,
    SPECS,
    WIDTH,
    image,
    random_heads,
    score,
    score_settings,
    write_models,
)
from tests.app.test_request_metrics import sample
from yoloscope.app.main import create_app
from yoloscope.app.responses.explanations import explain
from yoloscope.app.schemas.score import ObjectScore
from yoloscope.app.services import image_scores
from yoloscope.models.preprocess import placement_of
from yoloscope.training.data.annotations import parse_labels
from yoloscope.training.data.annotations.ground_truth import to_ground_truth
from yoloscope.training.losses.compute import compute_loss

PRESETS = (("v4", "v4"), ("v4", "v3"), ("v4", "v3-darknet"), ("v4", "v4-darknet"), ("v2", "v2"), ("v2", "v2-darknet"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(create_app(score_settings(write_models(tmp_path_factory.mktemp("score-models"))))) as running:
        yield running


ANCHORS_PX = {(8, 0): [8, 8], (8, 1): [20, 12], (16, 0): [32, 40], (16, 1): [50, 60]}
"""Of the model ``v4``, by stride and position."""


def _result(client: Client, labels: bytes = LABELS, **options: str) -> dict[str, Any]:
    response = score(client, (image(), labels), **options)
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    found: dict[str, Any] = result
    return found


@pytest.mark.parametrize(("model", "preset"), [*PRESETS, ("v1", "v1"), ("v1", "v1-darknet"), ("v3-darknet", "v4")])
def test_the_account_equals_the_library_s_to_the_digit(client: Client, model: str, preset: str) -> None:
    spec = SPECS[model]
    heads = [torch.from_numpy(head) for head in random_heads(spec)]
    labels = parse_labels(LABELS, class_names=NAMES, image_width=WIDTH, image_height=HEIGHT)
    truth = to_ground_truth([labels], [placement_of(WIDTH, HEIGHT, spec)], spec)
    expected = compute_loss(heads, truth, spec, preset, "objects")
    result = _result(client, model=model, preset=preset)
    assert result["total"] == float(expected.total)
    assert list(result["terms"]) == list(expected.terms)
    for name, term in expected.terms.items():
        assert result["terms"][name] == {"raw": float(term.raw), "weighted": float(term.weighted)}
    assert [entry["total"] for entry in result["by_object"]] == expected.by_object.total.tolist()
    assert [scale["total"] for scale in result["by_scale"]] == expected.by_scale.total.tolist()


@pytest.mark.parametrize(("model", "preset"), [*PRESETS, ("v1", "v1"), ("v1", "v1-darknet"), ("letterbox", "v4")])
def test_every_marginal_adds_up_to_the_total(client: Client, model: str, preset: str) -> None:
    result = _result(client, model=model, preset=preset, detail="cells")
    total = pytest.approx(result["total"], rel=1e-5)
    assert sum(term["weighted"] for term in result["terms"].values()) == total
    assert sum(scale["total"] for scale in result["by_scale"]) == total
    assert sum(entry["total"] for entry in result["by_object"]) + result["background"]["total"] == total
    assert sum(np.sum(values) for scale in result["by_scale"] for values in scale["cells"].values()) == total
    for part in (*result["by_scale"], *result["by_object"], result["background"]):
        weighted = sum(term["weighted"] for term in part["terms"].values())
        assert weighted == pytest.approx(part["total"], rel=1e-5, abs=1e-6)
    for name, term in result["terms"].items():
        raw = sum(scale["terms"][name]["raw"] for scale in result["by_scale"])
        assert raw == pytest.approx(term["raw"], rel=1e-5, abs=1e-6)
    for scale in result["by_scale"]:
        assert np.shape(scale["cells"]["no_objectness"]) == (scale["grid"][1], scale["grid"][0])


def test_the_model_s_own_preset_is_the_default(client: Client) -> None:
    for model in ("v4", "v3-darknet", "v2"):
        document = score(client, (image(), LABELS), model=model).json()
        assert document["preset"] == SPECS[model].loss.preset
        assert document["model"] == model


def test_details_nest(client: Client) -> None:
    summary, objects, cells = (_result(client, detail=detail) for detail in ("summary", "objects", "cells"))
    assert "by_object" not in summary
    assert "roles" not in summary["by_scale"][0]
    assert "cells" not in objects["by_scale"][0]
    assert summary["total"] == objects["total"] == cells["total"]
    assert objects["by_object"] == cells["by_object"]
    assert sum(objects["by_scale"][0]["roles"].values()) == 8 * 8 * 2
    named = [p for scale in cells["by_scale"] for p in scale["predictors"]]
    assert all(predictor["role"] in {"responsible", "extra", "ignored"} for predictor in named)


def test_pairs_are_scored_in_order_and_each_as_if_alone(client: Client) -> None:
    other = b"2 .3 .6 .2 .2\n"
    both = score(client, (image(), LABELS), (image(50, 80), other)).json()["results"]
    alone = [score(client, pair).json()["results"][0] for pair in ((image(), LABELS), (image(50, 80), other))]
    assert both == alone


def test_ranks_order_objects_by_cost(client: Client) -> None:
    entries = _result(client)["by_object"]
    by_rank = sorted(entries, key=lambda entry: entry["rank"])
    assert [entry["rank"] for entry in by_rank] == [1, 2, 3]
    assert [entry["total"] for entry in by_rank] == sorted((entry["total"] for entry in entries), reverse=True)


def test_no_labels_leave_only_the_background(client: Client) -> None:
    result = _result(client, b"")
    assert result["by_object"] == []
    assert (
        result["background"]["total"] == result["total"] == pytest.approx(result["terms"]["no_objectness"]["weighted"])
    )


def test_every_object_has_words_about_its_cost_and_its_anchors_a_size(client: Client) -> None:
    for entry in _result(client)["by_object"]:
        assert entry["why"] == explain(ObjectScore.model_validate(entry), _result(client)["total"])
        assert entry["why"].endswith(".")
        sizes = [ANCHORS_PX[place["stride"], place["anchor"]] for place in (*entry["assignments"], entry["predicted"])]
        assert [place["anchor_px"] for place in (*entry["assignments"], entry["predicted"])] == sizes
    for entry in (*_result(client)["unexplained"], *_result(client, detail="cells")["by_scale"][0]["predictors"]):
        assert entry["anchor_px"] == ANCHORS_PX[entry["stride"], entry["anchor"]]


def test_a_detector_without_anchors_has_none_to_size(client: Client) -> None:
    for entry in _result(client, model="v1")["by_object"]:
        assert "anchor_px" not in entry["predicted"]
        assert all("anchor_px" not in place for place in entry["assignments"])


def test_an_assignment_by_hand(client: Client) -> None:
    # 20x12 px on the network is anchor 1 of the finer scale: cell (4, 4) of stride 8, the center of which is predicted.
    labels = f"1 {36 / 64} {36 / 64} {20 / 64} {12 / 64}\n".encode()
    entry = _result(client, labels, model="quiet", preset="v3")["by_object"][0]
    (best,) = entry["assignments"]
    assert (best["stride"], best["cell"], best["anchor"], best["anchor_px"]) == (8, [4, 4], 1, [20, 12])
    assert best["iou"] == pytest.approx(1, abs=1e-5)
    assert best["anchor_iou"] == pytest.approx(1, abs=1e-5)
    predicted = entry["predicted"]
    corners = [predicted["box"][key] for key in ("x1", "y1", "x2", "y2")]
    assert corners == pytest.approx([26 / 64 * 200, 30 / 64 * 100, 46 / 64 * 200, 42 / 64 * 100], abs=1e-4)
    assert predicted["objectness"] == pytest.approx(1 / (1 + np.exp(6)), rel=1e-5)
    assert predicted["iou"] == pytest.approx(1, abs=1e-5)
    assert entry["terms"]["xy"]["raw"] == pytest.approx(0, abs=1e-5)
    assert entry["terms"]["wh"]["raw"] == pytest.approx(0, abs=1e-5)
    assert entry["terms"]["objectness"]["raw"] == pytest.approx(np.log1p(np.exp(6)), rel=1e-5)


def test_of_two_responsible_predictors_the_surer_one_speaks_for_the_model(client: Client) -> None:
    labels = f"1 {36 / 64} {36 / 64} {20 / 64} {12 / 64}\n".encode()
    entry = _result(client, labels, model="twin")["by_object"][0]
    assert [(a["stride"], a["role"]) for a in entry["assignments"]] == [(8, "responsible"), (16, "responsible")]
    predicted = entry["predicted"]
    assert (predicted["stride"], predicted["cell"], predicted["anchor"]) == (16, [2, 2], 0)
    assert predicted["objectness"] == pytest.approx(1 / (1 + math.exp(-6)), rel=1e-5)


def test_predictions_of_a_letterboxed_model_come_back_into_the_image(client: Client) -> None:
    entry = _result(client, b"1 .5 .5 .3 .4\n", model="letterbox", detail="objects")["by_object"][0]
    assert entry["box"] == {"x1": 70.0, "y1": 30.0, "x2": 130.0, "y2": 70.0}
    # Cell (4, 4) of the network's 8x8 grid covers x 32..40, y 32..40 of 64; the image lies in rows 16..48.
    assert entry["assignments"][0]["cell"] == [4, 4]
    box = entry["predicted"]["box"]
    center = (box["x1"] + box["x2"]) / 2, (box["y1"] + box["y2"]) / 2
    assert 100 - 1 < center[0] < 125 + 1
    assert 50 - 1 < center[1] < 75 + 1


def test_flags_name_what_is_doubtful(client: Client) -> None:
    labels = b"0 .5 .5 .3 .4\n0 .5 .5 .3 .4\n0 .5 .5 .3 .405\n1 .2 .2 .1 .01\n"
    flags = [entry["flags"] for entry in _result(client, labels)["by_object"]]
    assert "shared" in flags[0]
    assert "identical" in flags[1]
    assert "duplicate" in flags[2]
    assert {"tiny", "anchor_misfit"} <= set(flags[3])


def test_an_object_whose_predictor_serves_another_is_flagged_collided(client: Client) -> None:
    labels = b"0 .5 .5 .3 .4\n1 .5 .5 .3 .4\n"
    flags = [entry["flags"] for entry in _result(client, labels, preset="v3")["by_object"]]
    assert flags[0] == ["collided"]
    assert "collided" not in flags[1]


def test_confident_predictions_without_label_and_their_cost(client: Client) -> None:
    # The label has the shape of coarse anchor 0 (32x40 of 64) in the middle of cell (1, 2), where the model sees a dog.
    labels = f"1 {24 / 64} {40 / 64} {32 / 64} {40 / 64}\n".encode()
    first, second = _result(client, labels, model="sure", preset="v3")["unexplained"]
    assert (first["class_name"], first["role"], first["serves"], first["cost"]) == ("dog", "responsible", [0], 0)
    assert first["score"] == pytest.approx(1 / (1 + math.exp(-6)) ** 2, rel=1e-5)
    assert (first["stride"], first["cell"], first["anchor"]) == (16, [1, 2], 0)
    corners = [first["box"][key] for key in ("x1", "y1", "x2", "y2")]
    assert corners == pytest.approx([-24 / 64 * 200, 20 / 64 * 100, 72 / 64 * 200, 60 / 64 * 100], abs=1e-3)
    assert (second["class_name"], second["role"], second["serves"]) == ("dog", "background", [])
    assert (second["stride"], second["cell"], second["anchor"]) == (8, [7, 0], 0)
    assert second["cost"] == pytest.approx(math.log1p(math.exp(5)), rel=1e-5)


def test_a_difficult_object_is_scored_and_flagged(client: Client) -> None:
    entry = {"class_id": 0, "box": {"x1": 70, "y1": 30, "x2": 130, "y2": 70}, "difficult": True}
    result = _result(client, json.dumps({"objects": [entry]}).encode())
    assert result["by_object"][0]["flags"] == ["difficult"]
    assert result["labels_format"] == "native"


def test_a_crowd_region_is_listed_and_costs_nothing(client: Client) -> None:
    boxes = [{"class_id": 0, "box": {"x1": 70, "y1": 30, "x2": 130, "y2": 70}} for _ in range(2)]
    alone = _result(client, json.dumps({"objects": boxes[:1]}).encode())
    crowded = _result(client, json.dumps({"objects": [boxes[0] | {"crowd": True}, boxes[1]]}).encode())
    assert crowded["total"] == alone["total"]
    assert [(entry["index"], entry["flags"]) for entry in crowded["not_scored"]] == [(0, ["crowd"])]
    assert [entry["index"] for entry in crowded["by_object"]] == [1]


def test_scoring_runs_in_the_inference_thread(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    real = image_scores.score_heads

    def spy(*arguments: Any) -> image_scores.Scored:
        names.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(image_scores, "score_heads", spy)
    _result(client)
    assert names
    assert all(name.startswith("infer") for name in names)


def test_the_coco_image_is_chosen_by_the_image_s_file_name(client: Client) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 44, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 44, "bbox": [70, 30, 60, 40]}],
    }
    result = _result(client, json.dumps(document).encode())
    assert [entry["pointer"] for entry in result["by_object"]] == ["/annotations/0"]
    assert result["labels_format"] == "coco"


@pytest.mark.parametrize(("model", "preset"), [*PRESETS, ("v1", "v1"), ("twin", "v4")])
def test_the_box_parts_of_objects_add_up_to_their_boxes_and_to_the_image(
    client: Client, model: str, preset: str
) -> None:
    result = _result(client, model=model, preset=preset)
    objects = result["by_object"]
    for name, part in result["box_parts"].items():
        for kind in ("raw", "weighted"):
            assert sum(entry["box_parts"][name][kind] for entry in objects) == pytest.approx(part[kind], rel=1e-5)
    boxes = {"xy", "wh", "box"}
    for entry in objects:
        cost = sum(term["weighted"] for name, term in entry["terms"].items() if name in boxes)
        assert sum(part["weighted"] for part in entry["box_parts"].values()) == pytest.approx(cost, rel=1e-5)


@pytest.mark.parametrize("preset", ["v4", "v3", "v4-darknet"])
def test_a_kept_image_is_scored_to_the_digit_without_the_network(client: Client, preset: str) -> None:
    runs = sample(client, "yoloscope_inference_executions_total", model="v4") or 0
    first = _result(client, keep="true", preset=preset, detail="cells")
    image_id = first["image_id"]
    sent = {"labels": ("a.txt", LABELS)}
    options = {"preset": preset, "detail": "cells", "image_id": image_id}
    for _ in range(2):
        answer = client.post("/v1/score", files=sent, data=options)
        assert answer.json()["results"] == [first]
        assert answer.json()["timing_ms"].keys() == {"decode", "queue", "score", "total"}
    plain = _result(client, preset=preset, detail="cells")
    assert "image_id" not in plain
    assert plain == {name: value for name, value in first.items() if name != "image_id"}
    assert sample(client, "yoloscope_inference_executions_total", model="v4") == runs + 2
    assert (sample(client, "yoloscope_kept_lookups_total", outcome="hit") or 0) >= 2
    assert (sample(client, "yoloscope_kept_images") or 0) >= 1
    other = client.post("/v1/score", files=sent, data={**options, "model": "quiet"})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (404, "/image_id")


def test_torch_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    with image_scores.one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_timing_names_the_stages(client: Client) -> None:
    timing = score(client, (image(), LABELS)).json()["timing_ms"]
    assert set(timing) == {"decode", "queue", "inference", "score", "total"}
    assert all(value >= 0 for value in timing.values())
