"""CVAT's auto-annotation function against a running service; with cvat-sdk where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.e2e.conftest import Service, start_service
from yoloscope.app.integrations import cvat
from yoloscope.app.integrations.cvat import YoloscopeFunction

IMAGE = ROOT / "docs" / "images" / "blood.jpg"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(YOLOSCOPE_MODEL="builtin", YOLOSCOPE_MODELS_DIR=str(tmp_path_factory.mktemp("models")))
    yield running
    running.stop()


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
    with Image.open(IMAGE) as image:
        return list(function.detect(Context(threshold), image))


@pytest.mark.usefixtures("cvat_sdk")
def test_classes_are_labels_and_detections_rectangles_in_the_frame(service: Service) -> None:
    function = cvat.create(url=service.url, model="builtin")
    labels = {label.id: label.name for label in function.spec.labels}
    assert set(labels.values()) == {"WBC", "RBC", "Platelets"}
    found = detect(function, 0.9)
    (white,) = [one for one in found if labels[one.label_id] == "WBC"]
    assert white.points == pytest.approx((212, 130, 430, 340), abs=4)
    assert 0 < len(found) < len(detect(function, 0.3))
    with Image.open(IMAGE) as image:
        width, height = image.size
    assert all(0 <= x <= width for one in found for x in one.points[::2])
    assert all(0 <= y <= height for one in found for y in one.points[1::2])


@pytest.mark.usefixtures("cvat_sdk")
def test_the_default_model_is_asked_for_by_its_name(service: Service) -> None:
    assert len(YoloscopeFunction(service.url + "/").spec.labels) == 3


def test_an_error_of_the_service_is_shown(service: Service) -> None:
    with pytest.raises(ConnectionError, match=r"answered 404: .*nothing"):
        YoloscopeFunction(service.url, "nothing")


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
