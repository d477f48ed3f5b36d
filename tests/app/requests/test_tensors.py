"""Reading of tensors: values by hand in each form, and the faults of each form."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.artifact import write_tiny_artifact
from yoloscope.app.requests.tensors import read_infer_request
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.tensor_models import TensorModel, describe
from yoloscope.models.errors import RequestError


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> TensorModel:
    path = write_tiny_artifact(tmp_path_factory.mktemp("tensors") / "tiny.onnx")
    return describe("tiny", "tiny", Runtime(Path(path), "cpu", 1))


@pytest.fixture(scope="module")
def detect(raw: TensorModel) -> TensorModel:
    return describe("tiny_detect", "tiny", raw.runtime)


SIZE = 32 * 32 * 3
FLAT = [index % 256 for index in range(SIZE)]
IMAGES: dict[str, Any] = {"name": "images", "shape": [1, 32, 32, 3], "datatype": "UINT8"}
SCORE: dict[str, Any] = {"name": "score_threshold", "shape": [1], "datatype": "FP32"}
BINARY = {"parameters": {"binary_data_size": SIZE}}


def body(*inputs: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"inputs": inputs, **fields}).encode()


@pytest.mark.parametrize("data", [FLAT, np.array(FLAT).reshape(1, 32, 32, 3).tolist()])
def test_flat_and_nested_values_are_the_same(raw: TensorModel, data: list[Any]) -> None:
    call = read_infer_request(body(IMAGES | {"data": data}, SCORE | {"data": [0.5]}), None, raw)
    assert call.query.inputs["images"].dtype == np.uint8
    assert call.query.inputs["images"].ravel().tolist() == FLAT
    assert call.query.inputs["score_threshold"].tolist() == [0.5]
    assert list(call.query.outputs) == ["num_detections", "boxes", "scores", "class_ids", "head_0"]
    assert not call.binary_outputs


def test_bytes_behind_the_json_belong_to_inputs_in_their_order(raw: TensorModel) -> None:
    header = body(
        SCORE | {"parameters": {"binary_data_size": 4}},
        IMAGES | BINARY,
        outputs=[{"name": "scores"}, {"name": "boxes", "parameters": {"binary_data": True}}],
        id="7",
    )
    call = read_infer_request(header + struct.pack("<f", 0.25) + bytes(FLAT), str(len(header)), raw)
    assert call.query.inputs["score_threshold"].tolist() == [0.25]
    assert call.query.inputs["images"].ravel().tolist() == FLAT
    assert (call.id, list(call.query.outputs)) == ("7", ["scores", "boxes"])
    assert call.binary_outputs == {"boxes"}


def test_elements_of_bytes_have_their_lengths_before_them(detect: TensorModel) -> None:
    blob = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0)
    given = {"name": "image_bytes", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    header = body(given)
    call = read_infer_request(header + blob, str(len(header)), detect)
    assert call.query.inputs["image_bytes"].tolist() == [b"abc", b""]


@pytest.mark.parametrize(
    ("inputs", "fields", "behind", "message"),
    [
        ([IMAGES | {"data": FLAT[1:]}], {}, b"", r"expected 3072 numbers, .* the shape .*, got the shape \[3071\]"),
        ([IMAGES | {"data": [256, *FLAT[1:]]}], {}, b"", "numbers of the datatype UINT8"),
        ([IMAGES | {"data": [-1, *FLAT[1:]]}], {}, b"", "numbers of the datatype UINT8"),
        ([IMAGES | {"data": [0.5] * SIZE}], {}, b"", "numbers of the datatype UINT8"),
        ([IMAGES | {"data": [True] * SIZE}], {}, b"", "numbers of the datatype UINT8"),
        ([IMAGES | {"data": ["1"] * SIZE}], {}, b"", "numbers of the datatype UINT8"),
        ([IMAGES | {"data": [[1], [2, 3]]}], {}, b"", "flat or nested"),
        ([IMAGES | {"data": FLAT}, SCORE | {"data": [1e300]}], {}, b"", "numbers of the datatype FP32"),
        ([IMAGES | {"data": FLAT, "datatype": "FP32"}], {}, b"", "expected the datatype UINT8, got 'FP32'"),
        ([IMAGES | {"data": FLAT, "shape": [3072]}], {}, b"", r"expected the shape \[-1, 32, 32, 3\], got \[3072\]"),
        ([IMAGES], {}, b"", "either data or the parameter binary_data_size"),
        ([IMAGES | BINARY | {"data": FLAT}], {}, b"", "either data or the parameter binary_data_size"),
        ([IMAGES | BINARY], {}, b"x" * 10, "expected 3072 bytes behind the JSON, got 10"),
        ([IMAGES | {"parameters": {"binary_data_size": 7}}], {}, b"x" * 7, "expected 3072 bytes for the shape"),
        ([IMAGES | BINARY], {}, bytes(SIZE + 1), "expected no bytes behind the last tensor, got 1"),
        ([IMAGES | {"parameters": {"shared_memory_region": "a"}}], {}, b"", "got 'shared_memory_region'"),
        ([SCORE | {"data": [0.5]}], {}, b"", "expected the input 'images', got none"),
        ([IMAGES | {"data": FLAT}] * 2, {}, b"", "each once"),
        ([IMAGES | {"data": FLAT}], {"outputs": [{"name": "x"}]}, b"", "each once: num_detections, .*; got 'x'"),
        ([IMAGES | {"data": FLAT}], {"parameters": {"priority": 1}}, b"", "got 'priority'"),
        ([IMAGES | {"data": FLAT}], {"model_name": "other"}, b"", "expected 'tiny' as in the address, got 'other'"),
        ([IMAGES | {"data": FLAT}], {"model_version": "1"}, b"", "got '1'"),
        ([IMAGES | {"data": FLAT}], {"more": 1}, b"", "/more: .*expected one of id, parameters, inputs, outputs"),
    ],
)
def test_faults_are_named(
    raw: TensorModel, inputs: list[dict[str, Any]], fields: dict[str, Any], behind: bytes, message: str
) -> None:
    header = body(*inputs, **fields)
    with pytest.raises(RequestError, match=message):
        read_infer_request(header + behind, str(len(header)), raw)


def test_kserves_client_repeats_model_and_version_in_the_body(raw: TensorModel) -> None:
    request = body(IMAGES | {"data": FLAT}, model_name="tiny", model_version=raw.runtime.version)
    assert read_infer_request(request, None, raw).query.inputs["images"].shape == (1, 32, 32, 3)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1" * 40, "²"])
def test_a_wrong_header_length_is_named(raw: TensorModel, length: str) -> None:
    with pytest.raises(RequestError, match=r"expected a number of bytes in 0\.\.2"):
        read_infer_request(b"{}", length, raw)


@pytest.mark.parametrize(
    ("blob", "message"),
    [(b"\x05\0\0\0abc", "a part of one"), (b"\0\0", "a part of one"), (b"\0\0\0\0" * 2, "expected 1 elements")],
)
def test_elements_that_do_not_fit_are_named(detect: TensorModel, blob: bytes, message: str) -> None:
    given = {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    header = body(given)
    with pytest.raises(RequestError, match=message):
        read_infer_request(header + blob, str(len(header)), detect)


@pytest.mark.parametrize("data", [["%%"], [1], ["YQ==", "YQ=="]])
def test_bytes_in_json_are_base64(detect: TensorModel, data: list[Any]) -> None:
    with pytest.raises(RequestError, match="expected"):
        read_infer_request(body({"name": "image_bytes", "shape": [1], "datatype": "BYTES", "data": data}), None, detect)
