"""Detectors with known raw heads, and requests to score labels with them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from httpx import Response
from numpy.typing import NDArray
from PIL import Image

from tests.app.client import Client
from tests.app.constant_artifact import write_constant_artifact
from tests.helpers.images import encoded
from yoloscope.app.settings import Settings
from yoloscope.models.spec import DetectorSpec, HeadSpec, LossSpec, ResizeSpec

NAMES = ("cat", "dog", "traffic light")
WIDTH, HEIGHT = 200, 100
YOLO_HEADS = (
    HeadSpec(kind="yolo", grid_width=8, grid_height=8, anchor_indices=(0, 1), scale_xy=1.05),
    HeadSpec(kind="yolo", grid_width=4, grid_height=4, anchor_indices=(2, 3), scale_xy=1.05),
)
LABELS = b"0 .5 .5 .3 .4\n1 .2 .2 .1 .15\n2 .9 .9 .1 .1\n"


def image(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return encoded(Image.new("RGB", (width, height), (90, 120, 60)))


def make_spec(name: str, heads: tuple[HeadSpec, ...], preset: str, **fields: Any) -> DetectorSpec:
    values = {
        "family": "v4",
        "class_names": NAMES,
        "input_width": 64,
        "input_height": 64,
        "anchors_px": ((8, 8), (20, 12), (32, 40), (50, 60)),
        **fields,
    }
    return DetectorSpec.model_validate({"name": name, "heads": heads, "loss": LossSpec(preset=preset), **values})


SPECS = {
    spec.name: spec
    for spec in (
        make_spec("v4", YOLO_HEADS, "v4"),
        make_spec("letterbox", YOLO_HEADS, "v4", resize=ResizeSpec(placement="letterbox")),
        make_spec("v3-darknet", YOLO_HEADS, "v3-darknet", family="v3"),
        make_spec(
            "v2",
            (
                HeadSpec(
                    kind="region",
                    grid_width=4,
                    grid_height=4,
                    anchor_indices=(0, 1, 2),
                    class_activation="softmax",
                ),
            ),
            "v2",
            family="v2",
        ),
        make_spec(
            "v1",
            (
                HeadSpec(
                    kind="detection",
                    grid_width=4,
                    grid_height=4,
                    boxes_per_cell=2,
                    sqrt_wh=True,
                    activation="none",
                    class_activation="none",
                ),
            ),
            "v1-darknet",
            family="v1",
            anchors_px=(),
        ),
    )
}


def random_heads(spec: DetectorSpec, seed: int = 0) -> list[NDArray[np.float32]]:
    source = np.random.default_rng(seed)
    return [source.normal(0, 1, spec.head_shape(i, 1)).astype(np.float32) for i in range(len(spec.heads))]


def quiet_heads(spec: DetectorSpec) -> list[NDArray[np.float32]]:
    """Heads of yolo kind that predict every anchor in the middle of its cell and no object anywhere."""
    heads = [np.zeros(spec.head_shape(i, 1), np.float32) for i in range(len(spec.heads))]
    for head in heads:
        head.reshape(1, 2, 8, *head.shape[2:])[:, :, 4:] = -6.0
    return heads


def sure_heads(spec: DetectorSpec) -> list[NDArray[np.float32]]:
    """Quiet heads but for two dogs: coarse cell (1, 2) anchor 0, three times too wide; fine cell (7, 0) anchor 0."""
    heads = quiet_heads(spec)
    coarse, fine = (head.reshape(1, 2, 8, *head.shape[2:]) for head in (heads[1], heads[0]))
    coarse[0, 0, [2, 4, 6], 2, 1] = (math.log(3), 6.0, 6.0)
    fine[0, 0, [4, 6], 0, 7] = (5.0, 6.0)
    return heads


def twin_spec() -> DetectorSpec:
    """A detector whose two scales share anchor 1."""
    coarse = YOLO_HEADS[1].model_copy(update={"anchor_indices": (1, 3)})
    return make_spec("twin", (YOLO_HEADS[0], coarse), "v3")


def twin_heads(spec: DetectorSpec) -> list[NDArray[np.float32]]:
    """Quiet heads but for the shared anchor of the coarse scale in cell (2, 2), which is sure of an object."""
    heads = quiet_heads(spec)
    heads[1].reshape(1, 2, 8, 4, 4)[0, 0, 4, 2, 2] = 6.0
    return heads


def write_models(folder: Path) -> Path:
    """Write one artifact per spec, and ``quiet``, ``sure`` and ``twin``."""
    for name, spec in SPECS.items():
        write_constant_artifact(folder / f"{name}.onnx", spec, random_heads(spec))
    write_constant_artifact(folder / "quiet.onnx", SPECS["v4"], quiet_heads(SPECS["v4"]))
    write_constant_artifact(folder / "sure.onnx", SPECS["v4"], sure_heads(SPECS["v4"]))
    write_constant_artifact(folder / "twin.onnx", twin_spec(), twin_heads(twin_spec()))
    return folder


def score_settings(folder: Path) -> Settings:
    return Settings(models_dir=folder, model="v4", provider="cpu", threads=1, max_images=4, max_bytes=200_000)


def score(client: Client, *pairs: tuple[bytes, bytes], accept: str = "application/json", **options: str) -> Response:
    """Score pairs of an image and its labels."""
    return send(client, [part for image, labels in pairs for part in _parts(image, labels)], accept, **options)


def send(
    client: Client, files: Sequence[tuple[str, Any]], accept: str = "application/json", **options: str
) -> Response:
    return client.post("/v1/score", files=list(files), data=options, headers={"accept": accept})


def _parts(image: bytes, labels: bytes) -> list[tuple[str, Any]]:
    return [("image", ("a.png", image)), ("labels", ("a.txt", labels))]
