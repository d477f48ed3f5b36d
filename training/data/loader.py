"""The batches of a run, as Lightning asks for them: by rank, from the step where the run stands.

From a data set on disk to the batches of one optimizer step each, the same for any number of workers and ranks.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import lightning.pytorch as lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from yoloscope.models.cpu import available_cpus
from yoloscope.models.errors import ConfigError, DatasetError, ImageDecodeError
from yoloscope.models.spec import DetectorSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.data.annotations import usable_rows
from yoloscope.training.data.augment.multi_scale import TrainingShapes
from yoloscope.training.data.augment.pipeline import Pipeline, sample_generator
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.data.sample import Sample

_ORDER = 2**31
_MOST_WORKERS = 8


class SampleKey(NamedTuple):
    """One image to be made: which, for which epoch, at which input size; ``visit`` counts its repeats there."""

    epoch: int
    image: int
    width: int
    height: int
    visit: int = 0


class Loaded(NamedTuple):
    """A finished image, and what could not be read on the way to it."""

    sample: Sample
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """The images of one optimizer step on one rank: uint8 [B, H, W, 3], their objects, and unreadable files.

    Where no image of the data set can be read, ``failure`` says so, and there are none.
    """

    images: Tensor
    ground_truth: GroundTruth
    problems: tuple[str, ...]
    failure: str | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return a copy on ``device``."""
        return Batch(self.images.to(device), self.ground_truth.to(device), self.problems, self.failure)

    def parts(self, count: int) -> Iterator[tuple[Tensor, GroundTruth]]:
        """Yield ``count`` equal mini-batches, in order."""
        size, truth = len(self.images) // count, self.ground_truth
        for start in range(0, size * count, size):
            rows = (truth.image_index >= start) & (truth.image_index < start + size)
            yield (
                self.images[start : start + size],
                GroundTruth(
                    truth.boxes_cxcywh_norm[rows],
                    truth.class_ids[rows],
                    truth.image_index[rows] - start,
                    size,
                    None if truth.weights is None else truth.weights[rows],
                ),
            )


@dataclass(frozen=True)
class BatchSchedule:
    """Order of the images over the optimizer steps: a function of seed and step, whatever the ranks.

    An epoch visits every image once in a new order; its last step is filled up from the start of that order, with
    another augmentation.
    """

    num_images: int
    batch_size: int
    shapes: TrainingShapes
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that show every image once."""
        return -(-self.num_images // self.batch_size)

    def sample_keys(self, step: int, rank: int = 0, num_ranks: int = 1) -> list[SampleKey]:
        """Return one rank's share of a step, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch, _ORDER)).permutation(self.num_images)
        share = self.batch_size // num_ranks
        start = position * self.batch_size + rank * share
        width, height = self.shapes.size_at(step)
        turns = [divmod(place, self.num_images) for place in range(start, start + share)]
        return [SampleKey(epoch, int(order[place]), width, height, visit) for visit, place in turns]


class BatchSampler(Sampler[list[SampleKey]]):
    """Sample keys of the steps ``start``..``stop`` - 1 on one rank."""

    def __init__(self, plan: BatchSchedule, start: int, stop: int, rank: int = 0, num_ranks: int = 1) -> None:
        self._plan, self._steps, self._rank, self._num_ranks = plan, range(start, stop), rank, num_ranks

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in self._steps:
            yield self._plan.sample_keys(step, self._rank, self._num_ranks)

    def __len__(self) -> int:
        return len(self._steps)


class TrainingImages(Dataset[Loaded]):
    """Augmented images by their keys, from epoch ``close_mosaic_epoch`` (from 0; None: never) on without mixing.

    Objects that cannot be learned, and crowds, are left out. An image that cannot be read is replaced by the next one
    and reported; DatasetError is raised where none can be read.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        spec: DetectorSpec,
        pipeline: Pipeline,
        seed: int,
        cache_mb: int = 0,
        close_mosaic_epoch: int | None = None,
    ) -> None:
        if not len(dataset):
            raise DatasetError(f"expected images in {dataset.source}, got none")
        self._images, self._source = dataset.images, dataset.source
        self._spec, self._pipeline, self._seed = spec, pipeline, seed
        self._pipeline_without_mixing, self._close_mosaic_epoch = pipeline.without_mixing(), close_mosaic_epoch
        self._cache: dict[int, Sample] = {}
        self._room = cache_mb * 2**20

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: SampleKey) -> Loaded:
        problems: list[str] = []
        spec = self._spec.model_copy(update={"input_width": key.width, "input_height": key.height})
        generator = sample_generator(self._seed, key.epoch, key.image, key.visit)
        closed = self._close_mosaic_epoch is not None and key.epoch >= self._close_mosaic_epoch
        pipeline = self._pipeline_without_mixing if closed else self._pipeline
        sample = pipeline(lambda index: self._fetch(index, problems), key.image, len(self._images), spec, generator)
        return Loaded(sample, tuple(problems))

    def _fetch(self, index: int, problems: list[str]) -> Sample:
        for offset in range(len(self._images)):
            position = (index + offset) % len(self._images)
            try:
                return self._cached(position)
            except (ImageDecodeError, DatasetError) as error:
                problems.append(str(error))
        raise DatasetError(f"expected images in {self._source}, got none that can be read: {problems[0]}")

    def _cached(self, position: int) -> Sample:
        known = self._cache.get(position)
        if known is not None:
            return known
        sample = read_sample(self._images[position])
        if sample.image.nbytes <= self._room:
            self._room -= sample.image.nbytes
            self._cache[position] = sample
        return sample


def read_sample(image: LabeledImage) -> Sample:
    """Return a labeled image with the objects that a detector shall learn.

    Raises ImageDecodeError or DatasetError where the image cannot be used.
    """
    rows = [row for row in usable_rows(image.labels) if not image.labels.objects[row].crowd]
    return Sample.of(image.read(), image.labels.boxes_xyxy_px[rows], image.labels.class_ids[rows])


def collate(loaded: Sequence[Loaded]) -> Batch:
    """Return the batch of finished images of one size."""
    samples = [one.sample for one in loaded]
    boxes = np.concatenate([_normalized(sample) for sample in samples])
    counts = torch.tensor([len(sample) for sample in samples])
    weights = torch.from_numpy(np.concatenate([sample.weights for sample in samples]))
    truth = GroundTruth(
        torch.from_numpy(boxes),
        torch.from_numpy(np.concatenate([sample.class_ids for sample in samples])),
        torch.arange(len(samples)).repeat_interleave(counts),
        len(samples),
        None if bool((weights == 1).all()) else weights,
    )
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return Batch(images, truth, tuple(problem for one in loaded for problem in one.problems))


class _Caught(Dataset["Loaded | str"]):
    """Images, or in words why there are none: an exception would come out of a worker with its whole traceback."""

    def __init__(self, images: TrainingImages) -> None:
        self._images = images

    def __getitem__(self, key: SampleKey) -> Loaded | str:
        try:
            return self._images[key]
        except DatasetError as error:
            return str(error)


def _collate_caught(loaded: Sequence[Loaded | str]) -> Batch:
    finished = [one for one in loaded if not isinstance(one, str)]
    failure = next((one for one in loaded if isinstance(one, str)), None)
    return collate(finished) if failure is None else Batch(torch.zeros(0), GroundTruth.empty(0), (), failure)


def batches(images: TrainingImages, steps: BatchSampler, num_workers: int) -> DataLoader[Loaded | str]:
    """Return the loader of the steps; it draws nothing from the global random state."""
    return DataLoader(
        _Caught(images),
        batch_sampler=steps,
        num_workers=num_workers,
        collate_fn=_collate_caught,
        worker_init_fn=_outlive_signals,
        generator=torch.Generator().manual_seed(0),
    )


def _outlive_signals(_worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which reach the whole process group, to the main process, which ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def worker_count(wanted: int | None) -> int:
    """Return how many processes read images: what is wanted, or one less than the CPUs that are free to use."""
    return wanted if wanted is not None else max(1, min(available_cpus() - 1, _MOST_WORKERS))


def mini_batch_size(batch_size: int, accumulate: int, num_ranks: int) -> int:
    """Return the images of one mini-batch on one rank; raise ConfigError where the batch cannot be shared out."""
    if batch_size % (accumulate * num_ranks):
        raise ConfigError(
            f"expected a batch_size divisible by accumulate x processes = {accumulate} x {num_ranks}, got {batch_size}"
        )
    return batch_size // (accumulate * num_ranks)


def _normalized(sample: Sample) -> NDArray[np.float32]:
    """Return boxes [N, 4] as center, width and height, fractions of the image."""
    size = np.array((sample.width, sample.height), np.float64)
    low, high = sample.boxes_xyxy_px[:, :2] / size, sample.boxes_xyxy_px[:, 2:] / size
    return np.concatenate(((low + high) / 2, high - low), axis=1).astype(np.float32)


@dataclass(frozen=True)
class TrainingData:
    """Images, their order, and how many processes make them."""

    plan: BatchSchedule
    images: TrainingImages
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
        steps = BatchSampler(
            self._data.plan, self._start, self._stop, self.trainer.global_rank, self.trainer.world_size
        )
        return batches(self._data.images, steps, self._data.num_workers)
