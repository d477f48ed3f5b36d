"""Python interface to a model: load it, detect, score labels, evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yoloscope.app.hub import ensure_model
from yoloscope.app.responses.score import score_answer
from yoloscope.app.schemas.score import ImageScore
from yoloscope.app.services.image_scores import score_heads
from yoloscope.app.services.inference import (
    DetectSettings,
    EncodedImage,
    PreprocessedImage,
    Timing,
    infer,
    postprocess,
    prepare_decoded,
)
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.scoring import LabeledUpload, ScoreQuery, ScoreRun, read_labels
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ImageDecodeError
from yoloscope.models.images import DecodedImage, read_image, read_image_bytes, to_rgb
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import LabelLimits
from yoloscope.training.data.datasets import find_label_names, open_dataset
from yoloscope.training.evaluation.evaluate import Evaluation
from yoloscope.training.evaluation.evaluate import evaluate as evaluate_detector
from yoloscope.training.losses.names import Detail

ImageSource: TypeAlias = "str | Path | bytes | Image.Image | NDArray[np.uint8]"
"""A file, its bytes, a PIL image, or RGB pixels uint8 [H, W, 3]."""
LabelSource: TypeAlias = "str | Path | bytes | Mapping[str, Any]"
"""A label file (YOLO, VOC, COCO or native), its bytes, or a native document as ``POST /v1/score`` takes it."""
Provider = Literal["auto", "cuda", "cpu"]

_LABEL_LIMITS = LabelLimits(max_bytes=2**30)


@dataclass(frozen=True)
class DetectionResult:
    """Detections of one image, score descending, in pixels of the image as seen (EXIF orientation applied).

    ``boxes_xyxy_px`` float32 [N, 4], ``scores`` float32 [N], ``class_ids`` int64 [N], ``class_names`` of length N.
    """

    width: int
    height: int
    boxes_xyxy_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)


class Model:
    """A detector in onnxruntime, as the service runs it."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings

    @property
    def spec(self) -> DetectorSpec:
        """Description of the detector: classes, input size, heads, loss."""
        return self._runtime.spec

    @property
    def runtime(self) -> Runtime:
        """Session of onnxruntime that runs it, as in the service."""
        return self._runtime

    @property
    def provider(self) -> str:
        """Execution provider that runs it: ``cpu`` or ``cuda``."""
        return self._runtime.provider

    def detect(
        self,
        image: ImageSource,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int = 300,
        classes: Sequence[str | int] | None = None,
    ) -> DetectionResult:
        """Detect objects in one image; thresholds default to the model's own.

        Raises an ImageError for what is no image, RequestError for classes that the model does not have.
        """
        asked = DetectSettings.for_model(self.spec, score_threshold, iou_threshold, max_detections, classes)
        prepared = self._prepare(image)
        found = postprocess(prepared, infer(self._runtime, [prepared], [asked])[0], asked)
        detections, names = found.detections, self.spec.class_names
        return DetectionResult(
            width=found.width,
            height=found.height,
            boxes_xyxy_px=detections.boxes_xyxy,
            scores=detections.scores,
            class_ids=detections.class_ids,
            class_names=tuple(names[index] for index in detections.class_ids),
        )

    def score(
        self, image: ImageSource, labels: LabelSource, *, preset: str | None = None, detail: Detail = "objects"
    ) -> ImageScore:
        """Split the loss of an image's labels by term, scale and object, as ``POST /v1/score`` does.

        ``preset`` names a loss; by default it is the one that the model was trained with. Class ids of YOLO text in a
        file are those of the ``classes.txt`` or ``data.yaml`` beside or above it, else the model's. Raises an
        ImageError, LabelError naming all that is wrong in the labels, DatasetError, or PresetError.
        """
        query = ScoreQuery(preset=preset, detail=detail)
        prepared = self._prepare(image)
        name = Path(image).name if isinstance(image, str | Path) else None
        upload = LabeledUpload(EncodedImage(b""), _label_bytes(labels), name)
        named = find_label_names(Path(labels)) if isinstance(labels, str | Path) else None
        names = None if named is None else named[1]
        truth = read_labels(upload, prepared, self.spec, "auto", _LABEL_LIMITS, names)
        scored = score_heads(self._runtime.heads(prepared.placed[None]), prepared, truth, self.spec, query)
        run = ScoreRun(self._runtime.path.stem, self._runtime, (scored,), Timing())
        return score_answer(run).results[0]

    def evaluate(self, data: str | Path, *, split: str | None = None) -> Evaluation:
        """Measure AP (COCO and VOC), errors and speed on a labeled data set; see ``Evaluation``."""
        return evaluate_detector(self._runtime, open_dataset(Path(data), split))

    def _prepare(self, image: ImageSource) -> PreprocessedImage:
        return prepare_decoded(_decoded(image, self.spec.image_planes), self.spec)


def load(
    model: str | Path | None = None, *, provider: Provider = "auto", threads: int | None = None, **settings: object
) -> Model:
    """Load a model by name (``builtin``, ``yolov4-tiny``, one of the models folder) or path.

    An official model that is not there yet is pulled. ``settings`` are those of the service, such as ``models_dir`` and
    ``weights``. Raises ModelNotFoundError, ModelLoadError, ProviderError, DownloadError or ConfigError.
    """
    chosen = load_settings(model=None if model is None else str(model), provider=provider, threads=threads, **settings)
    path = ensure_model(chosen, lambda _text: None)
    return Model(Runtime(path, chosen.provider, chosen.threads), chosen)


def evaluate(model: str | Path | Model, data: str | Path, *, split: str | None = None) -> Evaluation:
    """Measure a model on a labeled data set: ``evaluate(...).coco`` has COCO's twelve numbers."""
    loaded = model if isinstance(model, Model) else load(model)
    return loaded.evaluate(data, split=split)


def _decoded(image: ImageSource, planes: int) -> DecodedImage:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != planes:
            kind = "[H, W, 3] in RGB" if planes == 3 else f"[H, W, {planes}]"
            raise ImageDecodeError(f"expected pixels uint8 {kind}, got {image.dtype} {list(image.shape)}")
        return DecodedImage(image)
    if isinstance(image, Image.Image):
        return DecodedImage(np.asarray(to_rgb(image)))
    if isinstance(image, bytes):
        return DecodedImage(read_image_bytes(image))
    return DecodedImage(read_image(Path(image)))


def _label_bytes(labels: LabelSource) -> bytes:
    if isinstance(labels, bytes):
        return labels
    if isinstance(labels, Mapping):
        return json.dumps(labels).encode()
    return Path(labels).read_bytes()
