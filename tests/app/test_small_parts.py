"""Settings, CPU count, content negotiation, formats, colors: by hand."""

from pathlib import Path

import numpy as np
import pytest

from yoloscope.app.requests.accept import preferred
from yoloscope.app.responses.detect import COCO_CATEGORY_IDS, is_coco
from yoloscope.app.responses.drawing import draw_detections
from yoloscope.app.services.inference import resolve_classes
from yoloscope.app.settings import load_settings
from yoloscope.models.classes import class_color
from yoloscope.models.errors import ConfigError, NotAcceptableError, RequestError
from yoloscope.models.images import DecodedImage
from yoloscope.models.structures import Detections
from yoloscope.models.zoo.official import OFFICIAL

OFFERED = ("application/json", "image/jpeg", "image/png")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("image/jpeg, */*", "image/jpeg"),
        ("application/json;q=0.1, image/png", "image/png"),
        ("text/html, */*;q=0.1", "application/json"),
        ("*/*, application/json;q=0", "image/jpeg"),
        ("image/png;q=broken, image/jpeg", "image/jpeg"),
    ],
)
def test_negotiation(accept: str | None, expected: str) -> None:
    assert preferred(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "*/*;q=0", "image/png;q=nan", "nonsense"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="application/json"):
        preferred(accept, OFFERED)


def test_settings_come_from_the_environment_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOSCOPE_PORT", "9000")
    monkeypatch.setenv("YOLOSCOPE_PROVIDER", "cpu")
    assert load_settings().port == 9000
    assert load_settings(port=9001, provider=None).port == 9001
    assert load_settings(port=9001, provider=None).provider == "cpu"


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "70000"), ("PROVIDER", "gpu"), ("MAX_PIXELS", "1e12"), ("THREADS", "0")]
)
def test_wrong_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"YOLOSCOPE_{name}", value)
    with pytest.raises(ConfigError, match=f"YOLOSCOPE_{name}: .*{value}"):
        load_settings()


def test_the_cache_folder_follows_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert load_settings().models_dir == Path("/somewhere/yoloscope/models")


def test_coco_category_ids_have_the_official_gaps() -> None:
    assert len(COCO_CATEGORY_IDS) == 80
    names = OFFICIAL["yolov4-tiny"].class_names
    ids = dict(zip(names, COCO_CATEGORY_IDS, strict=True))
    assert (ids["person"], ids["stop sign"], ids["dog"], ids["toothbrush"]) == (1, 13, 18, 90)
    assert is_coco(names)
    assert not is_coco(names[::-1])
    assert not is_coco(names[:79])


def test_classes_by_name_come_before_ids() -> None:
    assert resolve_classes(["1", 1, "b"], ("1", "b", "b")) == {0, 1}
    with pytest.raises(RequestError, match="'x', 3, '-1', '²'"):
        resolve_classes(["x", 3, "-1", "²"], ("a", "b", "c"))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 480)])
def test_drawing_takes_any_box_and_leaves_the_image(size: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    boxes = np.array([[-500, -500, 5000, 5000], [10, 10, 5, 5], [2, 2, 2, 2], [300, -20, 700, 30]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 1, 0]))
    image = draw_detections(DecodedImage(pixels), found, ("a name that is rather long", "ж"))
    assert image.size == size
    assert (pixels == 90).all()
    assert (np.asarray(image) != 90).any()


def test_drawing_nothing_changes_nothing() -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    np.testing.assert_array_equal(np.asarray(draw_detections(DecodedImage(pixels), empty, ("a",))), pixels)


def test_a_box_is_drawn_where_it_is() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    found = Detections(np.array([[50, 60, 150, 160]], np.float32), np.ones(1, np.float32), np.array([3]))
    drawn = np.asarray(draw_detections(DecodedImage(pixels), found, ("a", "b", "c", "d")))
    for y, x in ((60, 100), (160, 100), (110, 50), (110, 150)):
        assert tuple(drawn[y, x]) == class_color(3)
    assert not drawn[110, 100].any()
