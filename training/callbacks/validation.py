"""Validation while training: AP and loss on the validation split, also where an interrupted run missed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import lightning.pytorch as lightning
import torch
from torch import Tensor

from yoloscope.models.preprocess import placement_of
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.data.annotations import ImageLabels, usable_rows
from yoloscope.training.data.annotations.ground_truth import to_ground_truth
from yoloscope.training.data.augment.geometry import clip_boxes
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.evaluation.coco import evaluate_coco
from yoloscope.training.evaluation.detectors import TorchDetector
from yoloscope.training.evaluation.predict import EvaluatedImage, PredictionSettings, Truth, predict_images
from yoloscope.training.logs import LOGGER
from yoloscope.training.losses import compute_loss
from yoloscope.training.module import TrainingModule, log_values


class ValidationLoss:
    """The loss of a run, its terms and scales, as means over the images of all batches added."""

    def __init__(self, spec: DetectorSpec, images_seen: int) -> None:
        self._spec, self._images_seen = spec, images_seen
        self._sums: dict[str, float] = {}
        self._images = 0

    def add(self, heads: Sequence[Tensor], images: Sequence[LabeledImage]) -> None:
        """Add a batch: its raw heads, and its images, of which the objects that can be learnt count.

        A box over the edge of its image is cut there, as in training.
        """
        labels = [_learnt(one) for one in images]
        placements = [placement_of(one.width, one.height, self._spec) for one in images]
        truth = to_ground_truth(labels, placements, self._spec).to(heads[0].device)
        with torch.inference_mode():
            report = compute_loss(tuple(heads), truth, self._spec, preset=None, images_seen=self._images_seen)
        for key, value in log_values([report], self._spec).items():
            self._sums[key] = self._sums.get(key, 0.0) + value * len(images)
        self._images += len(images)

    def values(self) -> dict[str, float]:
        """Return ``val/loss``, ``val/loss/TERM``, ``val/loss/stride_S`` and ``val/loss/stride_S/TERM``."""
        return {f"val/{key}": value / self._images for key, value in self._sums.items()}


def _learnt(image: LabeledImage) -> ImageLabels:
    rows = usable_rows(image.labels)
    inside = clip_boxes(image.labels.boxes_xyxy_px[rows], (0.0, 0.0, image.width, image.height)).tolist()
    objects = [
        replace(image.labels.objects[row], box_xyxy_px=tuple(box)) for row, box in zip(rows, inside, strict=True)
    ]
    return replace(image.labels, objects=tuple(objects))


class Validation(StepCallback):
    """Measures the evaluated network every ``every_epochs`` and after the last; all ranks learn the result."""

    def __init__(self, dataset: DetectionDataset, every_epochs: int, batch_size: int) -> None:
        self._dataset, self._every, self._batch_size = dataset, every_epochs, batch_size

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Validate if due."""
        if not self._is_due(module):
            return
        step = module.progress.step
        numbers = self._measure(module) if trainer.is_global_zero else {}
        ap, ap50 = trainer.strategy.broadcast((numbers.get("val/AP", 0.0), numbers.get("val/AP50", 0.0)))
        module.progress.scores.append((step, ap, ap50))
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step)

    def is_overdue(self, module: TrainingModule) -> bool:
        """Return whether the last step of a resumed run should have been validated and was not."""
        progress = module.progress
        return (
            progress.step > 0 and self._is_due(module) and all(score[0] != progress.step for score in progress.scores)
        )

    def _is_due(self, module: TrainingModule) -> bool:
        at_end = module.progress.step == module.total_steps
        return module.at_epoch_end and (at_end or round(module.epoch) % self._every == 0)

    def _measure(self, module: TrainingModule) -> dict[str, float]:
        """Return AP, AP50 and the loss with its terms, under their names in the log."""
        spec, size = module.network.spec, self._batch_size
        detector = TorchDetector(module.evaluated_network, spec, module.device)
        loss = ValidationLoss(spec, module.images_seen)
        images: list[EvaluatedImage] = []
        settings = PredictionSettings(iou_threshold=spec.nms.iou_threshold, batch_size=size)
        for one in predict_images(detector, self._dataset.images, settings):
            if len(images) % size == 0:
                loss.add(detector.heads, self._dataset.images[len(images) : len(images) + size])
            images.append(EvaluatedImage(one.image.image_id, Truth.of_image(one.image), one.detections))
        numbers = evaluate_coco(images, len(spec.class_names)).numbers
        return {"val/AP": numbers["AP"], "val/AP50": numbers["AP50"], **loss.values()}


class RunMissedValidation(lightning.Callback):
    """Run the validation that an interrupted run missed, by ``callbacks``, before its next step.

    Belongs to runs whose validation is overdue (``Validation.is_overdue``).
    """

    def __init__(self, callbacks: Sequence[StepCallback]) -> None:
        self._callbacks = callbacks

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate, and save and stop by the result; the module is on its device, so that its average can follow."""
        assert isinstance(pl_module, TrainingModule)
        pl_module.on_fit_start()
        for callback in self._callbacks:
            callback.after_step(trainer, pl_module)
        if trainer.is_global_zero:
            step, ap, ap50 = pl_module.progress.scores[-1]
            LOGGER.info("validation of step %d, which was still due: AP %.3f  AP50 %.3f", step, ap, ap50)
