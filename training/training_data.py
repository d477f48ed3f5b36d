"""The batches of a run, as Lightning asks for them: by rank, from the step where the run stands."""

from __future__ import annotations

from dataclasses import dataclass

import lightning.pytorch as lightning
from torch.utils.data import DataLoader

from training.data.loading import Loaded, StepBatches, StepPlan, TrainingPictures, batches


@dataclass(frozen=True)
class TrainingData:
    """Pictures, their order, and how many processes make them."""

    plan: StepPlan
    pictures: TrainingPictures
    num_workers: int

    def from_step(self, start: int, stop: int) -> StepData:
        """Return the batches of the steps ``start``..``stop`` - 1."""
        return StepData(self, start, stop)


class StepData(lightning.LightningDataModule):
    """One loader over the rest of the run, so that workers never pause between epochs."""

    def __init__(self, data: TrainingData, start: int, stop: int) -> None:
        super().__init__()
        self._data, self._start, self._stop = data, start, stop

    def train_dataloader(self) -> DataLoader[Loaded | str]:
        """Return this rank's batches."""
        assert self.trainer is not None
        steps = StepBatches(self._data.plan, self._start, self._stop, self.trainer.global_rank, self.trainer.world_size)
        return batches(self._data.pictures, steps, self._data.num_workers)
