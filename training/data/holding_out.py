"""A part of a data set kept away from training, always the same one."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from models.errors import DatasetError
from training.data.datasets import DetectionDataset, LabelledImage


def hold_out(dataset: DetectionDataset, share: float) -> tuple[DetectionDataset, DetectionDataset]:
    """Return the rest of a data set and the ``share`` (0..1) of its pictures that is held out, in the same order.

    A picture belongs to one of the two by its file name alone, wherever the data set lies and whatever is added to it,
    so that the share is met on average; of few pictures there is at least one in each part. Raises DatasetError for
    pictures of fewer than two names.
    """
    names = {image.path.name for image in dataset.images}
    if len(names) < 2:
        raise DatasetError(
            f"expected pictures of two names or more in {dataset.source} to hold some out, got {len(names)}"
        )
    ranked = sorted(names, key=_place)
    count = min(max(sum(_place(name) < share for name in names), 1), len(names) - 1)
    held = set(ranked[:count])
    split = f"{dataset.split or 'all'} (held out)"

    def part(*, inside: bool) -> tuple[LabelledImage, ...]:
        return tuple(image for image in dataset.images if (image.path.name in held) is inside)

    return replace(dataset, images=part(inside=False)), replace(
        dataset, split=split, images=part(inside=True), problems=()
    )


def _place(name: str) -> float:
    """Return where in 0..1 a name falls."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:6]) / 2**48
