"""The Open Inference Protocol by KServe's own client, unmodified, over a socket: ``make check-clients``."""

import asyncio
import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.app.artifact import BOXES, CLASS_IDS, SIDE
from tests.app.client import served
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

kserve = pytest.importorskip("kserve", reason="needs kserve, whose packages do not go with ours: make check-clients")


@pytest.fixture(scope="module")
def address(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("controlled")
    for name in ("tiny", "other"):
        shutil.copy(models_dir / f"{name}.onnx", folder)
    settings = Settings(models_dir=folder, model="tiny", provider="cpu", threads=1, max_images=4)
    with served(create_app(settings.model_copy(update={"model_control": "explicit"}))) as url:
        yield url


def call(address: str, method: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of a client of protocol v2."""

    async def called() -> Any:
        async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
            return await getattr(client, method)(address, *arguments, **options)

    return asyncio.run(called())


def tensor(name: str, values: NDArray[Any], datatype: str, *, binary: bool) -> Any:
    given = kserve.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def request(model: str, inputs: list[Any], *, binary: bool, **parameters: Any) -> Any:
    return kserve.InferRequest(model, inputs, request_id="42", parameters={"binary_data_output": binary, **parameters})


def gray(count: int) -> NDArray[np.uint8]:
    """Images of brightness 51/255 = .2: the first candidate has .6."""
    return np.full((count, SIDE, SIDE, 3), 51, np.uint8)


def test_health(address: str) -> None:
    assert call(address, "is_server_live")
    assert call(address, "is_server_ready")
    assert call(address, "is_model_ready", "tiny")
    assert call(address, "is_model_ready", "tiny_detect")
    assert not call(address, "is_model_ready", "nope")


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
def test_raw_tensors(address: str, binary: bool) -> None:  # noqa: FBT001
    inputs = [
        tensor("images", gray(2), "UINT8", binary=binary),
        tensor("score_threshold", np.array([0.25, 0.45], np.float32), "FP32", binary=binary),
    ]
    headers: dict[str, str] = {}
    found = call(address, "infer", request("tiny", inputs, binary=binary), "tiny", response_headers=headers)
    assert (found.model_name, found.id) == ("tiny", "42")
    assert ("inference-header-content-length" in headers) == binary
    outputs = {output.name: output.as_numpy() for output in found.outputs}
    assert outputs["num_detections"].tolist() == [3, 2]
    assert outputs["boxes"].tolist() == [[list(box) for box in BOXES]] * 2
    assert outputs["class_ids"].tolist() == [list(CLASS_IDS)] * 2
    np.testing.assert_allclose(outputs["scores"], [[0.6, 0.5, 0.375, 0.125]] * 2, rtol=1e-6)


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
def test_encoded_images(address: str, gray_png: bytes, binary: bool) -> None:  # noqa: FBT001
    """The network sees 32x32, the image has 64x48: boxes are twice and one and a half times as large."""
    image = gray_png if binary else base64.b64encode(gray_png)
    inputs = [tensor("image_bytes", np.array([image], object), "BYTES", binary=binary)]
    found = call(address, "infer", request("tiny_detect", inputs, binary=binary, score_threshold=0.55), "tiny_detect")
    outputs = {output.name: output for output in found.outputs}
    assert outputs["boxes"].as_numpy().tolist() == [[8.0, 12.0, 40.0, 36.0]]
    assert outputs["class_names"].as_numpy().tolist() == ["cat"]


def test_a_wrong_tensor_is_refused_in_words(address: str) -> None:
    inputs = [tensor("pictures", gray(1), "UINT8", binary=True)]
    with pytest.raises(httpx.HTTPStatusError, match=r"/inputs/0/name: expected .*'400 Bad Request'"):
        call(address, "infer", request("tiny", inputs, binary=True), "tiny")


def test_models_that_are_unloaded_and_loaded(address: str) -> None:
    """The client has no call for these and for statistics: Triton's is in test_inference_protocol.py."""
    given = request("other", [tensor("images", gray(1), "UINT8", binary=True)], binary=True)
    httpx.post(f"{address}/v2/repository/models/other/unload").raise_for_status()
    assert not call(address, "is_model_ready", "other")
    with pytest.raises(httpx.HTTPStatusError, match="unloaded"):
        call(address, "infer", given, "other")
    httpx.post(f"{address}/v2/repository/models/other/load").raise_for_status()
    assert call(address, "is_model_ready", "other")
    assert call(address, "infer", given, "other").model_name == "other"
