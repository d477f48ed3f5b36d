"""AP on the validation split while training."""

from __future__ import annotations

import lightning.pytorch as lightning

from training.callbacks.hook import AfterStep
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
        if not module.at_epoch_end:
            return
        step = module.progress.step
        if round(module.epoch) % self._every and step != module.total_steps:
            return
        numbers = self._measure(module) if trainer.is_global_zero else (0.0, 0.0)
        ap, ap50 = trainer.strategy.broadcast(numbers)
        module.progress.scores.append((step, ap, ap50))
        for logger in trainer.loggers:
            logger.log_metrics({"val/AP": ap, "val/AP50": ap50}, step)

    def _measure(self, module: TrainingModule) -> tuple[float, float]:
        spec = module.network.spec
        detector = TorchDetector(module.evaluated_network, spec, module.device)
        settings = PredictionSettings(iou_threshold=spec.nms.iou_threshold, batch_size=self._batch_size)
        images = [
            EvaluatedImage(one.image.image_id, Truth.of_image(one.image), one.detections)
            for one in predict(detector, self._dataset.images, settings)
        ]
        numbers = evaluate_coco(images, len(spec.class_names)).numbers
        return numbers["AP"], numbers["AP50"]
