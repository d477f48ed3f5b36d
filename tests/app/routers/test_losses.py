"""``POST /v1/losses``: the numbers of training for raw heads that a client sends."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import yoloscope
from tests.app.client import Client
from tests.app.routers.raw_heads import (
    LABELS,
    YOLO,
    body,
    heads_of,
    make_spec,
    npz,
    post_npz,
    random_heads,
    trained,
)
from tests.conftest import ROOT
from yoloscope.app.openapi import LOSSES_EXAMPLES
from yoloscope.app.services.inference import prepare
from yoloscope.app.services.model_store import BUILTIN, artifact_path
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.images import ImageLimits
from yoloscope.training.losses import PRESETS, LossReport


def assert_same(answer: dict[str, Any], report: LossReport) -> None:
    """Every number of the report, to the last bit."""
    assert answer["total"] == float(report.total.detach())
    assert {name: (term["raw"], term["weighted"]) for name, term in answer["terms"].items()} == {
        name: (float(term.raw), float(term.weighted)) for name, term in report.terms.items()
    }
    assert {name: term["weighted"] for name, term in answer["box_parts"].items()} == {
        name: float(term.weighted) for name, term in report.box_parts.items()
    }
    assert [scale["total"] for scale in answer["by_scale"]] == report.by_scale.total.tolist()
    assert [image["total"] for image in answer["by_image"]] == report.by_image.total.tolist()
    assert [image["loss"] for image in answer["by_image"]] == report.image_losses.tolist()
    assert [entry["total"] for entry in answer["by_object"]] == report.by_object.total.tolist()
    assert [entry["total"] for entry in answer["background"]] == report.by_object.background.tolist()
    for index, scale in enumerate(answer["by_scale"]):
        assert scale["cells"] == {name: report.by_cell(name)[index].tolist() for name in report.terms}
        assert scale["cell_roles"] == report.assignment.roles[index].tolist()


class TestNumbers:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_json_gives_training_s_numbers_and_gradients_to_the_last_bit(self, client: Client, preset: str) -> None:
        answer = client.post("/v1/losses", json=body(preset, detail="cells"))
        assert answer.status_code == 200, answer.text
        spec = make_spec(heads_of(preset))
        heads = [head.requires_grad_() for head in random_heads(spec)]
        report = trained(spec, heads, preset)
        assert_same(answer.json(), report)
        gradients = torch.autograd.grad(report.total, heads)
        assert [scale["gradient"] for scale in answer.json()["by_scale"]] == [grad.tolist() for grad in gradients]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    @pytest.mark.parametrize("compressed", [False, True])
    def test_npz_gives_training_s_numbers_in_its_own_precision(
        self, client: Client, dtype: torch.dtype, *, compressed: bool
    ) -> None:
        spec = make_spec(YOLO)
        heads = random_heads(spec, dtype)
        arrays = {f"head_{index}": head.numpy() for index, head in enumerate(heads)}
        request = {"spec": spec, "labels": LABELS, "preset": "v3", "detail": "cells"}
        answer = post_npz(client, npz(arrays, compressed=compressed), request)
        assert answer.status_code == 200, answer.text
        assert_same(answer.json(), trained(spec, heads, "v3"))

    def test_big_endian_and_fortran_arrays_are_the_same_numbers(self, client: Client) -> None:
        spec = make_spec(YOLO)
        heads = [head.numpy() for head in random_heads(spec)]
        request = {"spec": spec, "labels": LABELS}
        plain = post_npz(client, npz({"head_0": heads[0], "head_1": heads[1]}), request).json()
        other = {"head_1": np.asfortranarray(heads[1]), "head_0": heads[0].astype(">f4")}
        assert post_npz(client, npz(other), request).json()["terms"] == plain["terms"]

    def test_options_preset_images_seen_and_divisor_count(self, client: Client) -> None:
        changes = {"options": {"prior_images": 100, "weights": {"box": 2}}, "images_seen": 5, "divisor": 7.0}
        answer = client.post("/v1/losses", json=body("v4", **changes)).json()
        spec = make_spec(YOLO)
        mine = PRESETS["v4"].replace(prior_images=100, weights={"box": 2})
        report = trained(spec, random_heads(spec), mine, images_seen=5, divisor=7.0)  # type: ignore[arg-type]
        assert answer["total"] == float(report.total.detach())
        assert (answer["normalizer"], answer["divisor"]) == ("given", 7.0)
        assert "prior" in answer["terms"]

    def test_the_spec_s_own_preset_and_overrides_are_the_default(self, client: Client) -> None:
        request = body("v4")
        request["spec"]["loss"] = {"preset": "v3", "overrides": {"ignore_threshold": 0.2}}
        del request["preset"]
        report = trained(make_spec(YOLO), random_heads(make_spec(YOLO)), PRESETS["v3"].replace(ignore_threshold=0.2))  # type: ignore[arg-type]
        assert client.post("/v1/losses", json=request).json()["total"] == float(report.total)

    def test_the_weight_of_an_object_scales_what_it_costs(self, client: Client) -> None:
        whole = client.post("/v1/losses", json=body("v4")).json()
        labels = copy.deepcopy(LABELS)
        labels[2][0]["weight"] = 0.5
        half = client.post("/v1/losses", json=body("v4", labels=labels)).json()
        assert half["by_object"][2]["total"] == pytest.approx(whole["by_object"][2]["total"] / 2, rel=1e-6)
        assert half["by_object"][0]["total"] == whole["by_object"][0]["total"]

    def test_double_precision_is_computed_where_it_is_asked_for(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=body("v4", dtype="float64")).json()
        spec = make_spec(YOLO)
        report = trained(spec, [head.double() for head in random_heads(spec)], "v4")
        assert answer["total"] == float(report.total.detach())

    def test_the_heads_and_the_spec_of_a_served_model_give_the_loss_of_score(self, client: Client) -> None:
        labels = b"2 .5 .5 .35 .44\n1 .2 .3 .1 .1\n"
        scored = yoloscope.load("builtin").score(ROOT / "docs" / "images" / "blood.jpg", labels)
        runtime = Runtime(artifact_path(BUILTIN, Path()), "cpu", 1)
        image = (ROOT / "docs" / "images" / "blood.jpg").read_bytes()
        placed = prepare(image, runtime.spec, ImageLimits(10**6, 10**6, 2000)).placed
        arrays = {f"head_{index}": head for index, head in enumerate(runtime.heads(placed[None]))}
        objects = [
            {"class_id": 2, "box": {"cx": 0.5, "cy": 0.5, "w": 0.35, "h": 0.44}},
            {"class_id": 1, "box": {"cx": 0.2, "cy": 0.3, "w": 0.1, "h": 0.1}},
        ]
        request = {"spec": client.get("/v1/models/builtin").json()["spec"], "labels": [objects]}
        answer = post_npz(client, npz(arrays), request).json()
        assert answer["preset"] == runtime.spec.loss.preset
        assert answer["total"] == pytest.approx(scored.total, rel=1e-6)


class TestDocuments:
    def test_the_article_s_first_loss(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=LOSSES_EXAMPLES["article"]["value"]).json()
        expected = {"box": 0.02 / 16, "objectness": 0.04 / 4, "no_objectness": 0.09 / 4, "classification": 0.18 / 8}
        assert {name: term["raw"] for name, term in answer["terms"].items()} == pytest.approx(expected)
        assert answer["total"] == pytest.approx(0.05625)

    def test_the_walkthrough_s_third_box(self, client: Client) -> None:
        """A cat in cell (3, 3) of 7x7, whose x, y, w, h of 0.4, 0.5, 2.4, 3.2 are predicted as 0.3, 0.2, 3.2, 4.3."""
        classes, confidences, boxes = np.zeros((49, 20)), np.zeros((49, 2)), np.zeros((49, 2, 4))
        classes[24, 7] = 1
        boxes[24, 0] = 0.3, 0.2, 3.2, 4.3
        head = np.concatenate([part.reshape(1, -1) for part in (classes, confidences, boxes)], axis=1)
        grid = {"kind": "detection", "grid_width": 7, "grid_height": 7, "boxes_per_cell": 2}
        spec = {"class_names": list(map(str, range(20))), "input_width": 448, "input_height": 448, "heads": [grid]}
        box = {"cx": 3.4 / 7, "cy": 3.5 / 7, "w": 2.4 / 7, "h": 3.2 / 7}
        request = {
            "spec": spec,
            "heads": [head.tolist()],
            "labels": [[{"class_id": 7, "box": box}]],
            "preset": "v1-walkthrough",
        }
        terms = client.post("/v1/losses", json=request).json()["terms"]
        assert terms["xy"]["raw"] + terms["wh"]["raw"] == pytest.approx(0.2385, abs=5e-5)
        assert terms["classification"]["raw"] == 0

    def test_darknet_s_own_variables_stand_in_the_answer(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=body("v4-darknet")).json()
        spec = make_spec(YOLO)
        state = trained(spec, random_heads(spec), "v4-darknet").darknet
        assert state is not None
        assert answer["darknet"] == [
            {"cost": float(h.cost), "total_bbox": h.total_bbox, "rewritten_bbox": h.rewritten_bbox} for h in state.heads
        ]

    @pytest.mark.parametrize("name", LOSSES_EXAMPLES)
    def test_the_published_examples_are_answered(self, client: Client, name: str) -> None:
        document = client.get("/openapi.json").json()
        content = document["paths"]["/v1/losses"]["post"]["requestBody"]["content"]["application/json"]
        answer = client.post("/v1/losses", json=content["examples"][name]["value"])
        assert answer.status_code == 200, answer.text


class TestAnswer:
    def test_parts_add_up(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=body("v4")).json()
        for name in ("by_scale", "by_image"):
            assert sum(part["total"] for part in answer[name]) == pytest.approx(answer["total"], rel=1e-5)
        objects = sum(part["total"] for part in (*answer["by_object"], *answer["background"]))
        assert objects == pytest.approx(answer["total"], rel=1e-5)
        assert [(entry["image"], entry["index"], entry["class_id"]) for entry in answer["by_object"]] == [
            (0, 0, 1),
            (0, 1, 0),
            (2, 0, 2),
        ]

    def test_a_summary_has_no_objects(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=body("v4", detail="summary")).json()
        assert not answer.keys() & {"by_object", "background", "darknet"}
        assert "roles" not in answer["by_scale"][0]

    def test_images_without_objects_pay_for_the_background_alone(self, client: Client) -> None:
        answer = client.post("/v1/losses", json=body("v4", labels=[[], [], []])).json()
        assert (answer["objects"], answer["images"], answer["by_object"]) == (0, 3, [])
        assert answer["total"] == pytest.approx(answer["terms"]["no_objectness"]["weighted"], rel=1e-6)
        assert answer["total"] > 0
