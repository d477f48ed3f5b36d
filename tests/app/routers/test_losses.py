"""``POST /v1/losses``: the numbers of training for raw heads that a client sends."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

import yoloscope
from tests.app.client import Client
from tests.conftest import ROOT
from yoloscope.app.main import create_app
from yoloscope.app.openapi import LOSSES_EXAMPLES
from yoloscope.app.services.inference import prepare
from yoloscope.app.services.model_store import BUILTIN, artifact_path
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.images import ImageLimits
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import PRESETS, LossReport, compute_loss

NAMES = ("cat", "dog", "bird")
ANCHORS = [[8, 8], [20, 12], [32, 40], [50, 60]]
YOLO = [
    {"kind": "yolo", "grid_width": 8, "grid_height": 6, "anchor_indices": [0, 1], "scale_xy": 1.1},
    {"kind": "yolo", "grid_width": 4, "grid_height": 3, "anchor_indices": [2, 3]},
]
REGION = [
    {"kind": "region", "grid_width": 4, "grid_height": 3, "anchor_indices": [0, 1, 2, 3], "class_activation": "softmax"}
]
FLAT = [{"kind": "detection", "grid_width": 4, "grid_height": 3, "boxes_per_cell": 2, "class_activation": "softmax"}]
ONE_BOX = [{**FLAT[0], "boxes_per_cell": 1}]
LABELS: list[list[dict[str, Any]]] = [
    [
        {"class_name": "dog", "box": {"cx": 0.4, "cy": 0.55, "w": 0.3, "h": 0.5}},
        {"class_id": 0, "box": {"cx": 0.9, "cy": 0.1, "w": 0.12, "h": 0.15}},
    ],
    [],
    [{"class_id": 2, "box": {"cx": 0.5, "cy": 0.5, "w": 0.9, "h": 0.7}}],
]


def heads_of(preset: str) -> list[dict[str, Any]]:
    if preset.startswith("article"):
        return ONE_BOX
    if preset.startswith("v1"):
        return FLAT
    return REGION if preset.startswith("v2") else YOLO


def make_spec(heads: list[dict[str, Any]]) -> dict[str, Any]:
    anchors = [] if heads[0]["kind"] == "detection" else ANCHORS
    return {
        "class_names": list(NAMES),
        "input_width": 64,
        "input_height": 48,
        "anchors_px": anchors,
        "heads": heads,
    }


def full_spec(spec: dict[str, Any]) -> DetectorSpec:
    return DetectorSpec.model_validate({"name": "heads", "family": "v4", "loss": {"preset": "v4"}, **spec})


def random_heads(spec: dict[str, Any], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    described = full_spec(spec)
    shapes = [described.head_shape(index, len(LABELS)) for index in range(len(described.heads))]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def trained(spec: dict[str, Any], heads: list[Tensor], preset: str, **options: Any) -> LossReport:
    """The same loss as training computes it."""
    rows = [(image, entry) for image, entries in enumerate(LABELS) for entry in entries]
    truth = GroundTruth(
        torch.tensor([[entry["box"][key] for key in ("cx", "cy", "w", "h")] for _, entry in rows]),
        torch.tensor([1, 0, 2]),
        torch.tensor([image for image, _ in rows]),
        len(LABELS),
    )
    return compute_loss(heads, truth, full_spec(spec), preset, "cells", **options)


def body(preset: str, **changes: Any) -> dict[str, Any]:
    spec = make_spec(heads_of(preset))
    heads = [head.tolist() for head in random_heads(spec)]
    return {"spec": spec, "heads": heads, "labels": LABELS, "preset": preset, **changes}


def npz(arrays: dict[str, Any], *, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def post_npz(client: Client, heads: bytes, request: dict[str, Any]) -> httpx.Response:
    files = {"heads": ("heads.npz", heads), "request": ("request.json", json.dumps(request))}
    return client.post("/v1/losses", files=files)


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


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A valid request with one value replaced."""
    request = copy.deepcopy(body("v4"))
    node: Any = request
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return request


BAD = [
    (("heads", 0, 0, 0, 0, 1), "3", 422, "/heads/0/0/0/0/1", "expected a number, got a text"),
    (("heads", 0, 0, 0, 0, 1), True, 422, "/heads/0/0/0/0/1", "expected a number, got a boolean"),
    (("heads", 0, 0, 0, 0), [1.0], 422, "/heads/0/0/0/1", "expected a list of 1, as in its first neighbors"),
    (("heads", 0, 1), [], 422, "/heads/0/1", "expected a list of 16, as in its first neighbors, got a list of 0"),
    (("heads", 0), 5, 422, "/heads/0", "expected lists in lists, 4 deep, got a number"),
    (("heads", 0, 0, 0, 0, 1), 1e300, 422, "/heads/0", "expected finite values, got inf at [0, 0, 0, 1]"),
    (("heads", 0, 0, 0, 0, 1), 10**400, 422, "/heads/0", "expected"),
    (("heads",), [[[[[0.0]]]]], 422, "/heads", "expected 2 heads, as in the spec, got 1"),
    (("labels",), [[], []], 422, "/heads/0", "expected [images, channels, rows, columns] of 2 images"),
    (("labels", 0, 0, "box", "cx"), 2, 422, None, "image 0, object 0: expected a center in 0..1"),
    (("labels", 0, 0, "box", "w"), -1, 422, None, "expected width and height of at least 0"),
    (("labels", 0, 1, "class_id"), 3, 422, "/labels/0/1/class_id", "expected one of the 3 classes of the spec, got 3"),
    (("labels", 0, 0, "class_name"), "cow", 422, "/labels/0/0/class_name", "got 'cow'"),
    (("labels", 0, 0, "class_id"), 1, 422, "/labels/0/0", "either class_id or class_name, got both or neither"),
    (("preset",), "v5", 422, None, "known presets: v1, v2, v3, v4, v1-walkthrough"),
    (("preset",), "v1", 422, None, "preset 'v1' needs detection heads"),
    (("options",), {"lambda": 3}, 422, None, "unknown preset key 'lambda'; known keys: "),
    (("options",), {"max_delta": 1e300}, 422, "/options/max_delta", "expected numbers of at most 1e+09"),
    (("spec", "input_width"), 10**9, 422, "/spec", "input_width: expected a size above 0 and at most 65536"),
    (("spec", "anchors_px", 0, 0), 0, 422, "/spec", "anchors_px[0]: expected a size above 0"),
    (("spec", "heads", 0, "anchor_indices"), [9, 1], 422, "/spec", "anchor indices must lie in 0..3"),
    (("spec", "heads", 0, "grid_width"), 5, 422, "/heads", "expected"),
    (("divisor",), 0, 422, "/divisor", "greater than or equal"),
    (("detail",), "all", 422, "/detail", "'summary', 'objects' or 'cells'"),
    (("extra",), 1, 422, "/extra", "Extra inputs are not permitted"),
]


class TestBadRequests:
    @pytest.mark.parametrize(("path", "value", "status", "pointer", "detail"), BAD)
    def test_a_wrong_value_is_named(
        self, client: Client, path: tuple[str | int, ...], value: object, status: int, pointer: str | None, detail: str
    ) -> None:
        answer = client.post("/v1/losses", json=changed(path, value))
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert detail in answer.json()["detail"]
        if pointer is not None:
            assert answer.json()["errors"][0]["pointer"] == pointer

    @pytest.mark.parametrize("text", [b"", b"{", b"[1e", b"[" * 5000, b"\xff\xfe", b'{"a": NaN}'])
    def test_what_is_no_json(self, client: Client, text: bytes) -> None:
        answer = client.post("/v1/losses", content=text, headers={"content-type": "application/json"})
        assert answer.status_code in {400, 422}
        assert answer.json()["detail"].startswith(("expected a JSON body", "/spec"))

    def test_another_content_type_is_told_what_is_taken(self, client: Client) -> None:
        answer = client.post("/v1/losses", content=b"x", headers={"content-type": "text/plain"})
        assert answer.status_code == 415
        assert "curl -F heads=@heads.npz -F request=@request.json" in answer.json()["detail"]

    def test_a_form_needs_both_parts_once(self, client: Client) -> None:
        one = {"heads": ("heads.npz", b"x")}
        assert client.post("/v1/losses", files=one).json()["errors"][0]["pointer"] == "/request"
        twice = [("heads", ("a.npz", b"x")), ("heads", ("b.npz", b"x"))]
        assert client.post("/v1/losses", files=twice).status_code == 422
        assert client.post("/v1/losses", files={"heads": (None, "text")}).json()["errors"][0]["pointer"] == "/heads"

    def test_a_label_s_weight_needs_a_formula_preset(self, client: Client) -> None:
        labels = copy.deepcopy(LABELS)
        labels[0][0]["weight"] = 0.5
        answer = client.post("/v1/losses", json=body("v3-darknet", labels=labels))
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:yoloscope:problem:preset")

    def test_a_loss_that_overflows_is_named(self, client: Client) -> None:
        request = body("v1-walkthrough")
        request["heads"][0][0] = [3e38] * len(request["heads"][0][0])
        answer = client.post("/v1/losses", json=request)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:yoloscope:problem:non-finite-loss")

    def test_too_many_values_for_cells_are_refused(self, client: Client) -> None:
        spec = make_spec([{"kind": "yolo", "grid_width": 400, "grid_height": 400, "anchor_indices": [0]}])
        head = np.zeros((1, 8, 400, 400), np.float32)
        request = {"spec": spec, "labels": [[]], "detail": "cells"}
        answer = post_npz(client, npz({"head_0": head}, compressed=True), request)
        assert answer.status_code == 413
        assert "expected at most 1048576 values in all heads for detail cells, got 1280000" in answer.json()["detail"]
        assert post_npz(client, npz({"head_0": head}, compressed=True), {**request, "detail": "objects"}).is_success

    @pytest.mark.parametrize("as_form", [False, True], ids=["json", "form"])
    def test_long_json_is_refused_before_it_is_parsed(self, settings: Settings, *, as_form: bool) -> None:
        text = b"[" * (2 * 2**20 + 1)
        with Client(create_app(settings.model_copy(update={"max_body_bytes": 10**7}))) as roomy:
            if as_form:
                files = {"heads": ("heads.npz", b""), "request": ("request.json", text)}
                answer = roomy.post("/v1/losses", files=files)
            else:
                answer = roomy.post("/v1/losses", content=text, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert (
            "expected at most 2097152 bytes of JSON, got 2097153; larger heads come as npz" in answer.json()["detail"]
        )

    def test_too_many_objects_are_refused(self, client: Client) -> None:
        entry = {"class_id": 0, "box": {"cx": 0.5, "cy": 0.5, "w": 0.1, "h": 0.1}}
        answer = client.post("/v1/losses", json=body("v4", labels=[[entry] * 5000, [entry] * 4000, [entry] * 1001]))
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (413, "/labels")
        assert "expected at most 10000 objects in all images, got 10001" in answer.json()["detail"]

    def test_too_many_pairs_of_object_and_anchor_are_refused(self, client: Client) -> None:
        spec = make_spec([{"kind": "yolo", "grid_width": 1, "grid_height": 1, "anchor_indices": list(range(300))}])
        spec["anchors_px"] = [[index + 1, 9] for index in range(300)]
        entry = {"class_id": 0, "box": {"cx": 0.5, "cy": 0.5, "w": 0.1, "h": 0.1}}
        head = np.zeros((1, 300 * 8, 1, 1), np.float32)
        answer = post_npz(client, npz({"head_0": head}), {"spec": spec, "labels": [[entry] * 900]})
        assert answer.status_code == 413
        assert "expected at most 262144 objects times anchors, got 270000" in answer.json()["detail"]


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**400, 1e-300, 1e38, 1e300, -0.0, "", "1", "v2", [], {}, [[]], [0] * 9]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
SEARCH = hypothesis.settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of all values but the numbers of the heads, of which a few stand for all."""
    steps = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(node, list) else ()
    return [path] * bool(path) + [found for step, inner in steps for found in places(inner, (*path, step))]


@pytest.mark.parametrize(
    "preset", ["v1", "v2", "v3", "v4", "v4-darknet", "v2-darknet", "v1-walkthrough", "article-iou"]
)
def test_no_value_anywhere_is_the_server_s_fault(client: Client, preset: str) -> None:
    valid = body(preset, detail="cells", options={"name": "mine"}, images_seen=1, divisor=2.0)
    valid["spec"] = full_spec(valid["spec"]).model_dump(mode="json")
    everywhere = places(valid)

    @SEARCH
    @hypothesis.given(path=st.sampled_from(everywhere), value=ODD)
    def answered(path: tuple[str | int, ...], value: object) -> None:
        request = copy.deepcopy(valid)
        node: Any = request
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
        answer = client.post("/v1/losses", json=request)
        assert answer.status_code in {200, 400, 413, 422}, (path, value, answer.text)

    answered()
