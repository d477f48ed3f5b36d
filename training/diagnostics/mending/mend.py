"""Write a corrected copy of a data set: plan the edits, change the label files, copy the rest, and read it back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from yoloscope.models.classes import decode_text, encode_text, normalize_class_name
from yoloscope.models.errors import DatasetError
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import DetectionDataset, LabeledImage, open_split_or_all
from yoloscope.training.data.datasets.files import find_names_file, read_names
from yoloscope.training.data.datasets.pairing import label_file
from yoloscope.training.diagnostics.findings import Finding
from yoloscope.training.diagnostics.image_names import data_folder, image_name, images_named
from yoloscope.training.diagnostics.mending import coco, voc, yolo
from yoloscope.training.diagnostics.mending.corrected_copy import (
    CopyMode,
    files_below,
    require_output,
    write_corrected_copy,
)
from yoloscope.training.diagnostics.mending.edits import EDIT_KINDS, EditKind, EditPlan, ImageEdits, plan_edits

NewClasses: TypeAlias = Literal["refuse", "add"]
"""Suggested classes that the data set does not have: an error, or added to it."""
_WHOLE_PIXEL: Final = 1.0
_FRACTION_PX: Final = 0.01
_NAMES_FILES: Final = re.compile(r"classes\.txt|predefined_classes\.txt|_darknet\.labels|.*\.names")
_CLASS_COUNT: Final = re.compile(rb"(?m)^(\s*classes\s*=\s*)\d+")


@dataclass(frozen=True)
class Mended:
    """Changes of a corrected copy against its original.

    ``shapes_lost`` counts polygons, masks and oriented boxes that became boxes since they were moved, ``clipped`` the
    suggestions that reached over their image's edge. ``files`` are the changed label files, ``repointed`` those that
    named the original by its absolute path, ``left_out`` links and special files; all but the last below the folder.
    """

    output: Path
    counts: Mapping[EditKind, int]
    shapes_lost: int
    clipped: int
    new_classes: tuple[str, ...]
    files: tuple[str, ...]
    repointed: tuple[str, ...]
    left_out: tuple[str, ...]

    def in_words(self) -> list[str]:
        """Return how the copy differs from its original, in ASCII: first how many labels, by kind of edit."""
        words = [", ".join(f"{self.counts[kind]} {kind}" for kind in EDIT_KINDS)]
        if self.shapes_lost:
            words.append(f"{self.shapes_lost} moved polygons, masks or oriented boxes are boxes now")
        if self.clipped:
            words.append(f"{self.clipped} suggested boxes reached over the edge of their image and end there")
        if self.new_classes:
            words.append(f"{len(self.new_classes)} new classes")
        return words


def mend(
    findings: Sequence[Finding],
    data: Path,
    output: Path,
    *,
    split: str | None = None,
    images: CopyMode = "copy",
    new_classes: NewClasses = "refuse",
    within: Path | None = None,
) -> Mended:
    """Write a copy of the data set at ``data`` in which the labels are as the ``findings`` suggest.

    The original is only read, files outside of ``within`` not even that. The copy has its layout; files without a
    finding keep their bytes. It is read back and compared with what was intended before it gets its name ``output``.
    Raises DatasetError where a finding does not fit the data, ConfigError for an output that exists or lies in the
    data, OutputError.
    """
    if not findings:
        raise DatasetError("expected accepted findings, got none")
    folder = data_folder(data)
    require_output(folder, output)
    dataset = open_split_or_all(data, split, within=within)
    named = images_named((finding.image for finding in findings), dataset.images, folder)
    plan = plan_edits(findings, named, dataset.class_names, may_add_classes=new_classes == "add")
    files = _Files(dataset, folder)
    changed = files.changed(plan)

    def check(copy: Path) -> None:
        inside = copy / data.absolute().relative_to(folder.absolute()) if data.is_file() else copy
        _compare(open_split_or_all(inside, split, within=copy), copy, plan, dataset, folder)

    copied = write_corrected_copy(folder, output, changed, images=images, check=check)
    return Mended(
        output,
        {kind: plan.counts[kind] for kind in EDIT_KINDS},
        files.shapes_lost,
        plan.clipped,
        plan.new_classes,
        tuple(sorted(changed)),
        tuple(copied.repointed),
        tuple(copied.left_out),
    )


class _Files:
    """The new bytes of the label files and class lists that a plan changes, by their paths below the folder."""

    def __init__(self, dataset: DetectionDataset, folder: Path) -> None:
        self._dataset, self._folder = dataset, folder
        self.shapes_lost = 0

    def changed(self, plan: EditPlan) -> dict[str, bytes]:
        by_file: dict[Path, list[ImageEdits]] = {}
        for edits in plan.by_image.values():
            by_file.setdefault(edits.image.label_path or self._new_label_path(edits.image), []).append(edits)
        changed = {self._name(path): self._edit(path, group, plan) for path, group in by_file.items()}
        return changed | (dict(self._class_lists(plan.new_classes)) if plan.new_classes else {})

    def _edit(self, path: Path, group: list[ImageEdits], plan: EditPlan) -> bytes:
        data = path.read_bytes() if path.is_file() else b""
        if self._dataset.layout == "coco":
            self.shapes_lost += coco.count_lost_masks(data, group)
            return coco.edit_coco(data, group, self._dataset.category_ids, plan.new_classes)
        if len(group) > 1:
            names = " and ".join(str(edits.image.path) for edits in group)
            raise DatasetError(f"expected a label file for each image, got {path} for {names}; nothing was written")
        (edits,) = group
        if self._dataset.layout == "voc":
            self.shapes_lost += voc.count_lost_polygons(data, edits)
            return voc.edit_voc(data, edits)
        self.shapes_lost += yolo.count_lost_polygons(edits)
        return yolo.edit_yolo(data, edits)

    def _name(self, path: Path) -> str:
        name = image_name(path, self._folder)
        if name.startswith("../"):
            raise DatasetError(f"expected label files inside {self._folder}, got {path}; nothing was written")
        return name

    def _new_label_path(self, image: LabeledImage) -> Path:
        """Return where the label file of an image without one belongs: where others of its folder have theirs."""
        homes = {one.path.parent: one.label_path.parent for one in self._dataset.images if one.label_path}
        home = homes.get(image.path.parent)
        return home / f"{image.path.stem}.txt" if home else label_file(image.path)

    def _class_lists(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the lists of class names with new ones; COCO and VOC without such a list have the names in the labels.

        Raises DatasetError where the names stand elsewhere, in ``data.yaml``.
        """
        source, layout = self._dataset.source, self._dataset.layout
        if layout == "coco" or (layout == "voc" and find_names_file(source) is None):
            return
        found = [] if source.suffix.lower() in (".yaml", ".yml") else [*self._names_files()]
        if not found:
            listed = ", ".join(names)
            raise DatasetError(f"expected the new classes {listed} in {source}: add them there; nothing was written")
        for path in found:
            data = path.read_bytes()
            text = decode_text(data)
            ending = "\r\n" if "\r\n" in text else "\n"
            lines = ending.join((text.rstrip(), *names))
            yield image_name(path, self._folder), encode_text(lines + ending, like=data)
        if source.suffix.lower() == ".data":
            total = len(self._dataset.class_names) + len(names)
            written = _CLASS_COUNT.sub(lambda found: found.group(1) + str(total).encode(), source.read_bytes())
            yield image_name(source, self._folder), written

    def _names_files(self) -> Iterator[Path]:
        for path in files_below(self._folder):
            if _NAMES_FILES.fullmatch(path.name) and read_names(path) == self._dataset.class_names:
                yield path


def _compare(copy: DetectionDataset, root: Path, plan: EditPlan, original: DetectionDataset, folder: Path) -> None:
    """Raise DatasetError unless the copy has the images of the original and the labels that were intended."""
    found = {image_name(image.path, root): image for image in copy.images}
    expected = {image_name(image.path, folder): image for image in original.images}
    if found.keys() != expected.keys():
        different = sorted(found.keys() ^ expected.keys())
        raise DatasetError(f"expected a copy with the same images, got another for {different[0]}: nothing was written")
    edits = {image_name(one.image.path, folder): one for one in plan.by_image.values()}
    for name, image in expected.items():
        intended = edits.get(name, ImageEdits(image)).intended()
        tolerance = 0.0 if name not in edits else _WHOLE_PIXEL if original.layout == "voc" else _FRACTION_PX
        labels = [(label.class_name, label.box_xyxy_px) for label in found[name].labels.objects]
        if not _agree(labels, intended, tolerance):
            raise DatasetError(
                f"{name}: expected labels {intended} in the copy, got {labels}: nothing was written; does another "
                "image share its label file?"
            )


def _agree(labels: Sequence[tuple[str, BoxXyxy]], intended: Sequence[tuple[str, BoxXyxy]], tolerance: float) -> bool:
    if len(labels) != len(intended):
        return False
    for (name, box), (other, wanted) in zip(labels, intended, strict=True):
        distance = max((abs(one - two) for one, two in zip(box, wanted, strict=True) if one != two), default=0.0)
        if normalize_class_name(name) != normalize_class_name(other) or distance > tolerance:
            return False
    return True
