"""``POST /v1/losses``: wrong values are named, too many are refused, and nothing is the server's fault."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.app.client import Client
from tests.app.routers.raw_heads import (
    LABELS,
    body,
    full_spec,
    make_spec,
    npz,
    post_npz,
)
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings


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
