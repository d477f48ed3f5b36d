"""CVAT's auto-annotation function against a running service; with cvat-sdk where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import uvicorn
from PIL import Image

from yoloscope.app.integrations import cvat
from yoloscope.app.integrations.cvat import YoloscopeFunction
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

CAT = (8, 12, 40, 36)
"""The first detection of the tiny model in a 64x48 image of brightness .2, of score .6; the others have .5, .375."""


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    """A service with the tiny model behind a real socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def cvat_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the three things that the function uses, where the package is not installed."""
    if importlib.util.find_spec("cvat_sdk") is not None:
        return
    package, module = ModuleType("cvat_sdk"), ModuleType("cvat_sdk.auto_annotation")
    vars(module).update(
        label_spec=lambda name, index, **kwargs: SimpleNamespace(name=name, id=index, **kwargs),
        rectangle=lambda index, points: SimpleNamespace(label_id=index, points=points, type="rectangle", frame=0),
        DetectionFunctionSpec=lambda *, labels: SimpleNamespace(labels=labels),
    )
    vars(package).update(auto_annotation=module)
    monkeypatch.setitem(sys.modules, "cvat_sdk", package)
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", module)


@dataclass
class Context:
    conf_threshold: float | None = None
    frame_name: str = "blood.jpg"
    conv_mask_to_poly: bool = False


def detect(function: Any, threshold: float | None) -> list[Any]:
    return list(function.detect(Context(threshold), Image.new("RGB", (64, 48), (51, 51, 51))))


@pytest.mark.usefixtures("cvat_sdk")
def test_classes_are_labels_and_detections_rectangles_in_the_frame(url: str) -> None:
    function = cvat.create(url=url, model="tiny")
    labels = {label.id: label.name for label in function.spec.labels}
    assert labels == {0: "cat", 1: "dog", 2: "traffic light"}
    (found,) = detect(function, 0.55)
    assert labels[found.label_id] == "cat"
    assert found.points == pytest.approx(CAT, abs=1e-3)
    assert [one.label_id for one in detect(function, None)] == [0, 1, 0]
    assert detect(function, None)[2].points[2] == 64  # the model's box reaches to 80


@pytest.mark.usefixtures("cvat_sdk")
def test_the_default_model_is_asked_for_by_its_name(url: str) -> None:
    assert len(YoloscopeFunction(url + "/").spec.labels) == 3


def test_an_error_of_the_service_is_shown(url: str) -> None:
    with pytest.raises(ConnectionError, match=r"answered 404: .*nothing"):
        YoloscopeFunction(url, "nothing")


def test_a_service_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match=f"expected Yoloscope at {url}, got: "):
        YoloscopeFunction(url)


def test_the_file_stands_alone() -> None:
    """It is handed to CVAT's command as a file, in an environment without Yoloscope."""
    text = Path(cvat.__file__).read_text()
    assert "yoloscope." not in text.replace("yoloscope.app", "")
    assert "import yoloscope" not in text
