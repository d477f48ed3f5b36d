"""``yoloscope score --data``: the images and objects of a data set that cost most."""

from __future__ import annotations

import heapq
import json
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final, Generic, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from yoloscope.app.commands.options import progress_bar
from yoloscope.app.responses.explanations import place_in_file
from yoloscope.app.responses.score import image_score
from yoloscope.app.services.image_scores import score_heads
from yoloscope.app.services.inference import prepare_decoded
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.services.scoring import ScoreQuery
from yoloscope.models.errors import DatasetError, ImageError
from yoloscope.models.images import DecodedImage
from yoloscope.training.data.annotations import find_unusable, usable_rows
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage
from yoloscope.training.data.datasets.dataset import HARMLESS
from yoloscope.training.losses import get_preset

T = TypeVar("T")
UNREAD: Final[frozenset[str]] = frozenset(("missing_image", "unreadable_image", "image_size"))


@dataclass(frozen=True)
class RankedImage:
    """The loss of one image and its number of objects."""

    file: str
    total: float
    objects: int


@dataclass(frozen=True)
class RankedObject:
    """The share of one object in the loss of its image; ``box`` is x1, y1, x2, y2 in pixels."""

    file: str
    labels: str
    pointer: str
    class_name: str
    box: tuple[float, float, float, float]
    total: float
    why: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Skipped:
    """An image or a label that could not be scored."""

    location: str
    why: str


class Costliest(Generic[T]):
    """The ``most`` entries of highest cost; of equal ones the earlier."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, T]] = []
        self._order = count(0, -1)

    def add(self, cost: float, entry: T) -> None:
        """Enter one, and drop the cheapest if there are too many."""
        heapq.heappush(self._heap, (cost, next(self._order), entry))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def ranked(self) -> list[T]:
        """Return the entries, the most expensive first."""
        return [entry for _, _, entry in sorted(self._heap, key=lambda item: item[:2], reverse=True)]


@dataclass
class DatasetScore:
    """The ranking of a data set, growing image by image."""

    images: Costliest[RankedImage]
    objects: Costliest[RankedObject]
    num_images: int = 0
    num_objects: int = 0
    total: float = 0.0
    skipped: list[Skipped] = field(default_factory=list)
    unread: int = 0

    def add(self, image: LabeledImage, runtime: Runtime, query: ScoreQuery) -> None:
        """Score one image; labels that are wrong are skipped, and so is an image that cannot be read."""
        where = str(image.label_path or image.path)
        self.skipped += [
            Skipped(f"{where}#{found.problem.pointer}", found.problem.detail) for found in find_unusable(image.labels)
        ]
        try:
            prepared = prepare_decoded(DecodedImage(image.read()), runtime.spec)
        except (ImageError, DatasetError) as error:
            self.skipped.append(Skipped(str(image.path), str(error)))
            self.unread += 1
            return
        objects = tuple(image.labels.objects[row] for row in usable_rows(image.labels))
        heads = runtime.heads(prepared.placed[None])
        scored = score_heads(heads, prepared, replace(image.labels, objects=objects), runtime.spec, query)
        result = image_score(scored)
        self.num_images += 1
        self.num_objects += result.objects
        self.total += result.total
        self.images.add(result.total, RankedImage(str(image.path), result.total, result.objects))
        for entry in result.by_object or ():
            box = entry.box
            ranked = RankedObject(
                str(image.path),
                where,
                entry.pointer,
                entry.class_name,
                (box.x1, box.y1, box.x2, box.y2),
                entry.total,
                entry.why,
                tuple(entry.flags),
            )
            self.objects.add(entry.total, ranked)


def score_dataset(dataset: DetectionDataset, runtime: Runtime, query: ScoreQuery, most: int) -> DatasetScore:
    """Score every image of a data set, keeping the ``most`` expensive; raises PresetError or DatasetError."""
    get_preset(query.preset, runtime.spec)
    dataset = dataset.for_model(runtime.spec.class_names)
    ranking = DatasetScore(Costliest(most), Costliest(most))
    problems = [problem for problem in dataset.problems if problem.kind not in HARMLESS]
    ranking.skipped += [Skipped(problem.location, problem.detail) for problem in problems]
    ranking.unread += sum(problem.kind in UNREAD for problem in problems)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        for image in progress.track(dataset.images):
            ranking.add(image, runtime, query)
    return ranking


def show_ranking(ranking: DatasetScore, runtime: Runtime, console: Console) -> None:
    """Print the images, the objects with what makes them expensive, and what was skipped."""
    mean = ranking.total / max(1, ranking.num_images)
    console.print(
        f"loss {mean:.4f} per image, of {ranking.num_objects} objects in {ranking.num_images} images; "
        f"model {runtime.path.stem} ({runtime.version})",
        soft_wrap=True,
    )
    table = Table(title="Images, the most expensive first", title_justify="left")
    table.add_column("loss", justify="right")
    table.add_column("objects", justify="right")
    table.add_column("image", overflow="fold")
    for image in ranking.images.ranked():
        table.add_row(f"{image.total:.4f}", str(image.objects), image.file)
    console.print(table)
    table = Table(title="Objects, the most expensive first", title_justify="left")
    table.add_column("loss", justify="right")
    for heading in ("label", "why"):
        table.add_column(heading, overflow="fold")
    for entry in ranking.objects.ranked():
        label = f"{entry.class_name}, {place_in_file(entry.pointer)} of {Path(entry.labels).name}"
        table.add_row(f"{entry.total:.4f}", label, " ".join((entry.why, *entry.flags)))
    console.print(table)
    for skipped in ranking.skipped:
        console.print(f"skipped {skipped.location}: {skipped.why}", soft_wrap=True)


def print_ranking(ranking: DatasetScore, runtime: Runtime, preset: str) -> None:
    """Print the same as JSON."""
    document = {
        "model": runtime.path.stem,
        "version": runtime.version,
        "preset": preset,
        "num_images": ranking.num_images,
        "num_objects": ranking.num_objects,
        "mean": ranking.total / max(1, ranking.num_images),
        "images": list(map(asdict, ranking.images.ranked())),
        "objects": list(map(asdict, ranking.objects.ranked())),
        "skipped": list(map(asdict, ranking.skipped)),
    }
    typer.echo(json.dumps(document, indent=2))
