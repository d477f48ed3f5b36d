"""The augmentation pipeline: from images of a data set to one augmented network input, each step a switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from yoloscope.models.errors import ConfigError
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import CropJitter, Flip, RandomScale
from yoloscope.training.data.augment.geometry import STANDARD_VISIBILITY, Visibility, place_sample
from yoloscope.training.data.augment.mixing import CutMix, MixUp
from yoloscope.training.data.augment.mosaic import Mosaic
from yoloscope.training.data.sample import Sample

Fetch = Callable[[int], Sample]


@dataclass(frozen=True)
class Pipeline:
    """Augmentations of a training image; with nothing switched on it is only placed on the network's input.

    Each image is jittered, zoomed and mirrored by itself. With ``mosaic_probability`` four of them become one,
    otherwise one is placed. With their probabilities a patch (CutMix) or the whole (MixUp) of another such image is
    mixed in. Colors are distorted last, once, over the finished image.
    """

    crop_jitter: CropJitter | None = None
    random_scale: RandomScale | None = None
    flip: Flip | None = None
    color_jitter: ColorJitter | None = None
    mosaic_probability: float = 0.0
    cutmix_probability: float = 0.0
    cutmix: CutMix = CutMix()  # noqa: RUF009 - frozen
    mixup_probability: float = 0.0
    mixup: MixUp = MixUp()  # noqa: RUF009 - frozen
    visibility: Visibility = STANDARD_VISIBILITY

    def __post_init__(self) -> None:
        for name in ("mosaic_probability", "cutmix_probability", "mixup_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} in 0..1, got {getattr(self, name)}")

    def without_mixing(self) -> Pipeline:
        """Return the pipeline without Mosaic, CutMix and MixUp."""
        return replace(self, mosaic_probability=0.0, cutmix_probability=0.0, mixup_probability=0.0)

    def __call__(
        self, fetch: Fetch, index: int, count: int, spec: DetectorSpec, generator: np.random.Generator
    ) -> Sample:
        """Return image ``index`` of ``count``, augmented, at the input size of ``spec``; partners are drawn."""
        sample = self._compose(fetch, index, count, spec, generator)
        if generator.random() < self.cutmix_probability:
            donor = self._compose(fetch, int(generator.integers(count)), count, spec, generator)
            sample = self.cutmix(sample, donor, generator)
        if generator.random() < self.mixup_probability:
            partner = self._compose(fetch, int(generator.integers(count)), count, spec, generator)
            sample = self.mixup(sample, partner, generator)
        return sample if self.color_jitter is None else self.color_jitter(sample, generator)

    def _compose(
        self, fetch: Fetch, index: int, count: int, spec: DetectorSpec, generator: np.random.Generator
    ) -> Sample:
        """Return one image placed, or four in a mosaic, of the input size."""
        if generator.random() >= self.mosaic_probability:
            return place_sample(self._single(fetch(index), generator), spec, self.visibility)
        indices = [index, *(int(i) for i in generator.integers(count, size=3))]
        parts = [self._single(fetch(i), generator) for i in indices]
        order = generator.permutation(4)
        mosaic = Mosaic(
            spec.input_width,
            spec.input_height,
            placement="stretch" if spec.resize.placement == "stretch" else "cover",
            interpolation=spec.resize.interpolation,
            visibility=self.visibility,
        )
        return mosaic([parts[i] for i in order], generator)

    def _single(self, sample: Sample, generator: np.random.Generator) -> Sample:
        for step in (self.crop_jitter, self.random_scale, self.flip):
            if step is not None:
                sample = step(sample, generator)
        return sample


def sample_generator(seed: int, epoch: int, index: int, visit: int = 0) -> np.random.Generator:
    """Return the random generator of one image in one epoch: the same for any number of workers, ranks and restarts.

    ``visit`` counts the repeats of an image in a batch that is filled up, each with randomness of its own.
    """
    return np.random.default_rng((seed, epoch, index, visit) if visit else (seed, epoch, index))
