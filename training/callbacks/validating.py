"""AP and the loss on the validation split while training."""

from __future__ import annotations

import lightning.pytorch as lightning

from training.callbacks.hook import AfterStep
from training.callbacks.validation_loss import ValidationLoss
from training.data.datasets import DetectionDataset
from training.evaluation.coco import evaluate_coco
from training.evaluation.prediction import PredictionSettings, predict
from training.evaluation.structures import EvaluatedImage, Truth
from training.evaluation.torch_detector import TorchDetector
from training.module import TrainingModule


class Validating(AfterStep):
    """Measures the evaluated network every ``every_epochs`` and after the last; all ranks learn the result."""

    def __init__(self, dataset: DetectionDataset, every_epochs: int, batch_size: int) -> None:
        self._dataset, self._every, self._batch_size = dataset, every_epochs, batch_size

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Validate where an epoch ends that is due."""
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
        for one in predict(detector, self._dataset.images, settings):
            if len(images) % size == 0:
                loss.add(detector.heads, self._dataset.images[len(images) : len(images) + size])
            images.append(EvaluatedImage(one.image.image_id, Truth.of_image(one.image), one.detections))
        numbers = evaluate_coco(images, len(spec.class_names)).numbers
        return {"val/AP": numbers["AP"], "val/AP50": numbers["AP50"], **loss.values()}
