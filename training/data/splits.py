"""The images that a run trains and validates on, looked through before its first step.

A part of a data set kept away from training, always the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from yoloscope.models.errors import DatasetError, ImageDecodeError
from yoloscope.models.files import write_text
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.annotations import usable_rows
from yoloscope.training.data.audit import audit
from yoloscope.training.data.datasets import (
    DatasetProblem,
    DetectionDataset,
    LabeledImage,
    ProblemKind,
    list_splits,
    open_dataset,
)
from yoloscope.training.data.datasets.files import is_usual, same_split
from yoloscope.training.logs import LOGGER

HOLDOUT_SHARE: Final = 0.2
"""Share of the images that are held out where a data set has no split to validate on."""


def split_holdout(dataset: DetectionDataset, share: float, seed: int = 0) -> tuple[DetectionDataset, DetectionDataset]:
    """Return the rest of a data set and the ``share`` (0..1) of its images that is held out, both in their order.

    The share is exact, rounded to whole images, at least one in each part. Which images are held out follows from
    their file names and the seed, wherever the data set lies. Raises DatasetError for fewer than two images.
    """
    if len(dataset) < 2:
        raise DatasetError(f"expected two images or more in {dataset.source} to hold some out, got {len(dataset)}")
    ranked = sorted(dataset.images, key=lambda image: (rank_by_name(image.path.name, seed), image.path))
    held = {image.path for image in ranked[: min(max(round(share * len(ranked)), 1), len(ranked) - 1)]}
    split = f"{dataset.split or 'all'} (held out)"

    def part(*, inside: bool) -> tuple[LabeledImage, ...]:
        return tuple(image for image in dataset.images if (image.path in held) is inside)

    return replace(dataset, images=part(inside=False)), replace(
        dataset, split=split, images=part(inside=True), problems=()
    )


def rank_by_name(name: str, seed: int) -> bytes:
    """Return a key to shuffle images by: as good as random, the same for a file name and a seed."""
    return sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()


def choose_splits(
    train: str | None, val: str | float | None, splits: Sequence[str]
) -> tuple[str | None, str | float | None]:
    """Return what to train and to validate on in a data set that has ``splits``: names, a share of train, or None.

    All of a data set without splits is trained on, and a part of it held out where there is none to validate on. A
    data set that has others than train, val and test is not second-guessed.
    """
    divided = any(is_usual(name) for name in splits)
    if train is not None and not divided and not _has(splits, train):
        train = None
    no_val = isinstance(val, str) and same_split(val, "val") and not _has(splits, val)
    if no_val and (not divided or all(map(is_usual, splits))):
        return train, HOLDOUT_SHARE
    return train, val


def _has(splits: Sequence[str], name: str) -> bool:
    return any(same_split(name, other) for other in splits)


_SHOWN_FINDINGS = 20
_USELESS: Final[frozenset[ProblemKind]] = frozenset(("missing_image", "unreadable_image", "image_size"))
_TO_SKIP: Final = "set data.on_bad_image to skip to go on without them"
_WITHOUT_VAL: Final = "data.val in a --config file may also be a share of train to hold out, as 0.1, or null for none"


@dataclass(frozen=True)
class Splits:
    """The data of a run; ``val`` has the classes of ``train``."""

    train: DetectionDataset
    val: DetectionDataset | None


def open_splits(config: TrainingConfig, data: Path, listing: Path | None = None) -> Splits:
    """Open and audit the data of a run; every bad label is logged, or stands in the file ``listing``.

    Images of val are decoded once here, so that none ends the run where it is validated; those that cannot be used
    are left out where bad images are to be skipped. A val without objects is logged and not used. Raises
    DatasetError for missing or unreadable files, unless bad images are to be skipped.
    """
    train, val = _open(config, data)
    parts = [train] if val is None else [train, val]
    for note in dict.fromkeys(note for part in parts for note in part.notes):
        LOGGER.warning(note)
    findings = tuple(dict.fromkeys(finding for part in parts for finding in audit(part, config.input_size)))
    _log_findings(findings, listing)
    if config.data.on_bad_image == "stop":
        _require_sound(parts, findings)
    for part in parts:
        if not len(part):
            raise DatasetError(f"expected images in the split {part.split!r} of {part.source}, got none")
    if val is None:
        return Splits(train, None)
    return Splits(train, _measurable(_readable(val, config).for_model(train.class_names)))


def open_held_out(config: TrainingConfig, data: Path) -> DetectionDataset | None:
    """Return the images that a run of this configuration holds out of a data set, or None where it holds out none."""
    name, val = choose_splits(config.data.train, config.data.val, list_splits(data))
    if not isinstance(val, float):
        return None
    return split_holdout(open_dataset(data, name, shapes=config.data.shapes), val, config.seed)[1]


def open_train(config: TrainingConfig, data: Path) -> DetectionDataset:
    """Return the images that a run trains on, whether there is a split to validate on or not."""
    _, val = choose_splits(config.data.train, config.data.val, list_splits(data))
    share = val if isinstance(val, float) else None
    return open_splits(config.replace(data=config.data.model_dump() | {"val": share}), data).train


def _open(config: TrainingConfig, data: Path) -> tuple[DetectionDataset, DetectionDataset | None]:
    shapes = config.data.shapes
    name, val = choose_splits(config.data.train, config.data.val, list_splits(data))
    train = open_dataset(data, name, shapes=shapes)
    if val is None:
        return train, None
    if isinstance(val, float):
        rest, held = split_holdout(train, val, config.seed)
        reason = "" if val == config.data.val else f"; there is no split {config.data.val!r}"
        whole = train.split or "the data set"
        LOGGER.info(
            "data.val %g: %d of %d images of %s are held out to validate on%s",
            *(val, len(held), len(train), whole, reason),
        )
        return rest, held
    try:
        return train, open_dataset(data, val, shapes=shapes)
    except DatasetError as error:
        raise DatasetError(f"{error}; {_WITHOUT_VAL}") from error


def _log_findings(findings: Sequence[DatasetProblem], listing: Path | None) -> None:
    for finding in findings[:_SHOWN_FINDINGS]:
        LOGGER.warning("label check: %s", finding)
    more = len(findings) - _SHOWN_FINDINGS
    if more <= 0:
        return
    where = ""
    if listing is not None:
        listing.parent.mkdir(parents=True, exist_ok=True)
        write_text(listing, "".join(f"{finding}\n" for finding in findings))
        where = f"; all {len(findings)} are in {listing}"
    LOGGER.warning("label check: %d more findings%s", more, where)


def _require_sound(parts: Sequence[DetectionDataset], findings: Sequence[DatasetProblem]) -> None:
    """Raise DatasetError for labels and images that could not be read, or whose size is not as the labels say."""
    for part in parts:
        try:
            part.require_sound()
        except DatasetError as error:
            raise DatasetError(f"{error}; {_TO_SKIP}") from error
    useless = [f"{finding.path}: {finding.detail}" for finding in findings if finding.kind in _USELESS]
    if useless:
        more = f" (and {len(useless) - 1} more)" if len(useless) > 1 else ""
        raise DatasetError(f"{useless[0]}{more}; {_TO_SKIP}")


def _readable(val: DetectionDataset, config: TrainingConfig) -> DetectionDataset:
    """Return the data set with the images that can be used; raise DatasetError where bad ones stop the run."""

    def sound() -> Iterator[LabeledImage]:
        for image in val.images:
            try:
                image.read()
            except (ImageDecodeError, DatasetError) as error:
                if config.data.on_bad_image == "stop":
                    raise DatasetError(f"{error}; {_TO_SKIP}") from error
                LOGGER.warning("left out of validation: %s", error)
            else:
                yield image

    images = tuple(sound())
    if not images:
        raise DatasetError(f"expected images to validate on in {val.source}, got none that can be read")
    return replace(val, images=images)


def _measurable(val: DetectionDataset) -> DetectionDataset | None:
    """Return the data set, or None where it has no object that could be found."""
    for image in val.images:
        if any(not image.labels.objects[row].crowd for row in usable_rows(image.labels)):
            return val
    LOGGER.warning(
        "no validation: expected objects in the split %r of %s, got none; %s", val.split, val.source, _WITHOUT_VAL
    )
    return None
