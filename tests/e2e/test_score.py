"""Real images and real labels through the running service: the answer is the library's, to the digit."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.app.scoring import image as small_image
from tests.e2e.conftest import Service
from tests.training.data.annotations.malformed import malformed_files
from yoloscope.app.services.inference import prepare
from yoloscope.app.services.runtime import Runtime
from yoloscope.models.cpu import available_cpus
from yoloscope.models.images import ImageLimits
from yoloscope.models.registry import build
from yoloscope.training.data.annotations import parse_labels
from yoloscope.training.data.annotations.ground_truth import to_ground_truth
from yoloscope.training.export.onnx import export_onnx
from yoloscope.training.losses.compute import compute_loss
from yoloscope.training.losses.report import LossReport

LIMITS = ImageLimits(16 * 2**20, 40_000_000, 16_384)
BLOOD = ("RBC", "WBC", "Platelets")


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def blood_model(models_dir: Path) -> Path:
    """An untrained yolov4-tiny for the classes of BCCD: its losses are large, and as exact as any."""
    torch.manual_seed(0)
    network = build("yolov4-tiny", num_classes=3, input_size=(160, 160))
    spec = network.spec.model_copy(update={"name": "blood", "class_names": BLOOD})
    export_onnx(network, spec, models_dir / "blood.onnx")
    return models_dir / "blood.onnx"


@cache
def _runtime(path: Path) -> Runtime:
    return Runtime(path, "cpu", available_cpus())


def _expected(model: Path, image: Path, labels: Path, preset: str | None = None) -> LossReport:
    runtime = _runtime(model)
    prepared = prepare(image.read_bytes(), runtime.spec, LIMITS)
    parsed = parse_labels(
        labels.read_bytes(),
        class_names=runtime.spec.class_names,
        image_width=prepared.width,
        image_height=prepared.height,
        file_name=image.name,
    )
    heads = [torch.from_numpy(head) for head in runtime.heads(prepared.placed[None])]
    truth = to_ground_truth([parsed], [prepared.placement], runtime.spec)
    return compute_loss(heads, truth, runtime.spec, preset or runtime.spec.loss.preset, "objects")


def _score(http: httpx.Client, image: Path, labels: Path, **options: str) -> dict[str, Any]:
    files = {"image": (image.name, image.read_bytes()), "labels": (labels.name, labels.read_bytes())}
    response = http.post("/v1/score", files=files, data=options)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def _check(document: dict[str, Any], expected: LossReport) -> None:
    (result,) = document["results"]
    assert document["preset"] == expected.preset
    assert result["total"] == float(expected.total)
    assert [entry["total"] for entry in result["by_object"]] == expected.by_object.total.tolist()
    assert [scale["total"] for scale in result["by_scale"]] == expected.by_scale.total.tolist()
    for name, term in expected.terms.items():
        assert result["terms"][name] == {"raw": float(term.raw), "weighted": float(term.weighted)}
    total = pytest.approx(result["total"], rel=1e-5)
    assert sum(term["weighted"] for term in result["terms"].values()) == total
    assert sum(scale["total"] for scale in result["by_scale"]) == total
    assert sum(entry["total"] for entry in result["by_object"]) + result["background"]["total"] == total


def _pairs(images: Path, labels: Path, suffix: str, step: int) -> Sequence[tuple[Path, Path]]:
    found = [(path, labels / f"{path.stem}{suffix}") for path in sorted(images.glob("*.jpg"))]
    return [pair for pair in found if pair[1].exists()][::step]


@pytest.mark.parametrize("preset", ["", "v3", "v4-darknet"])
def test_coco_images_with_yolo_text(http: httpx.Client, models_dir: Path, data_dir: Path, preset: str) -> None:
    folder = data_dir / "coco128"
    options = {"preset": preset} if preset else {}
    for image, labels in _pairs(folder / "images" / "train2017", folder / "labels" / "train2017", ".txt", 16):
        expected = _expected(models_dir / "yolov4-tiny.onnx", image, labels, preset)
        _check(_score(http, image, labels, **options), expected)


def test_coco_images_with_coco_json(http: httpx.Client, models_dir: Path, data_dir: Path) -> None:
    labels = data_dir / "coco128" / "instances_train2017.json"
    images = sorted((data_dir / "coco128" / "images" / "train2017").glob("*.jpg"))
    for image in images[::12]:
        document = _score(http, image, labels)
        _check(document, _expected(models_dir / "yolov4-tiny.onnx", image, labels))
        assert document["results"][0]["labels_format"] == "coco"


def test_blood_images_with_voc_xml(http: httpx.Client, blood_model: Path, data_dir: Path) -> None:
    folder = data_dir / "bccd"
    for image, labels in _pairs(folder / "JPEGImages", folder / "Annotations", ".xml", 36):
        _check(_score(http, image, labels, model="blood"), _expected(blood_model, image, labels))


@pytest.mark.parametrize(("stem", "index"), [("BloodImage_00338", 12), ("BloodImage_00343", 3)])
def test_the_two_boxes_of_bccd_without_area_are_named(
    http: httpx.Client, blood_model: Path, data_dir: Path, stem: str, index: int
) -> None:
    assert blood_model.is_file()
    image = data_dir / "bccd" / "JPEGImages" / f"{stem}.jpg"
    labels = data_dir / "bccd" / "Annotations" / f"{stem}.xml"
    files = {"image": image.read_bytes(), "labels": labels.read_bytes()}
    response = http.post("/v1/score", files=files, data={"model": "blood"})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/labels/0/annotation/object/{index}/bndbox"]


def test_malformed_label_files(http: httpx.Client, blood_model: Path) -> None:
    options = {"model": blood_model.stem}
    for data in malformed_files(seed=5, count=54):
        response = http.post("/v1/score", files={"image": small_image(), "labels": data}, data=options)
        assert response.status_code == 422, data[:200]
        assert all(error["pointer"].startswith("/labels/0") for error in response.json()["errors"])
