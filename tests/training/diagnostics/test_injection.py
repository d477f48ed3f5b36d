"""Injected label errors: their kinds, rates and places."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.training.diagnostics.painted import NAMES, label, labels_of
from yoloscope.training.data.annotations import ImageLabels
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.injection import CorruptedLabels, inject_errors


def _iou(a: BoxXyxy, b: BoxXyxy) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _images(count: int = 200, each: int = 10) -> list[ImageLabels]:
    source = np.random.default_rng(0)

    def box() -> BoxXyxy:
        x, y = source.uniform(0, 500, 2)
        width, height = source.uniform(10, 100, 2)
        return (float(x), float(y), float(x + width), float(y + height))

    return [
        labels_of(*(label(int(source.integers(3)), box()) for _ in range(each)), width=640, height=640)
        for _ in range(count)
    ]


IMAGES = _images()
CORRUPTED = inject_errors(IMAGES, NAMES, 7, rate=0.1)


def _count(corrupted: Sequence[CorruptedLabels]) -> Counter[str | None]:
    found: Counter[str | None] = Counter(kind for one in corrupted for kind in one.kinds)
    found["missing"] = sum(len(one.dropped) for one in corrupted)
    return found


def test_each_kind_has_its_rate() -> None:
    """2,000 labels at .1 each: 200 with a deviation of 13.4."""
    found = _count(CORRUPTED)
    for kind in ("missing", "class", "location", "spurious"):
        assert abs(found[kind] - 200) < 4 * 13.4
    assert sum(found.values()) - found["spurious"] == 2000


def test_every_error_is_what_it_is_called() -> None:
    for before, after in zip(IMAGES, CORRUPTED, strict=True):
        kept = [original for original in after.originals if original is not None]
        assert sorted((*kept, *after.dropped), key=repr) == sorted(before.objects, key=repr)
        for now, kind, original in zip(after.labels.objects, after.kinds, after.originals, strict=True):
            if kind is None:
                assert now == original
            elif kind == "class":
                assert original is not None
                assert now.class_id != original.class_id
                assert now.class_name == NAMES[now.class_id]
                assert now.box_xyxy_px == original.box_xyxy_px
            elif kind == "location":
                assert original is not None
                assert now.class_id == original.class_id
                assert 0.4 <= _iou(now.box_xyxy_px, original.box_xyxy_px) <= 0.7
                assert min(now.box_xyxy_px) >= 0
                assert max(now.box_xyxy_px) <= 640
            else:
                assert (kind, original) == ("spurious", None)
                assert max(_iou(now.box_xyxy_px, true.box_xyxy_px) for true in before.objects) < 0.3


def test_spurious_boxes_have_sizes_and_classes_of_labels() -> None:
    known = {
        (round(x2 - x1, 6), round(y2 - y1, 6), one.class_id)
        for image in IMAGES
        for one in image.objects
        for x1, y1, x2, y2 in [one.box_xyxy_px]
    }
    for one in CORRUPTED:
        for now, kind in zip(one.labels.objects, one.kinds, strict=True):
            if kind == "spurious":
                x1, y1, x2, y2 = now.box_xyxy_px
                assert (round(x2 - x1, 6), round(y2 - y1, 6), now.class_id) in known


def test_the_same_seed_gives_the_same_errors_and_another_one_others() -> None:
    assert inject_errors(IMAGES, NAMES, 7, rate=0.1) == CORRUPTED
    assert inject_errors(IMAGES, NAMES, 8, rate=0.1) != CORRUPTED


def test_the_errors_of_an_image_do_not_depend_on_the_boxes_of_others() -> None:
    """All sizes are the same in both sets; only spurious boxes are drawn from them."""
    others = [IMAGES[0], *(replace(image, objects=image.objects[::-1]) for image in IMAGES[1:])]
    assert inject_errors(others, NAMES, 7, rate=0.1)[0].dropped == CORRUPTED[0].dropped
    alone = inject_errors(IMAGES[:1], NAMES, 7, rate=0.1)[0]
    assert (alone.dropped, alone.kinds[:5]) == (CORRUPTED[0].dropped, CORRUPTED[0].kinds[:5])


def test_a_share_of_the_images_has_errors() -> None:
    """A quarter of 200: 50 with a deviation of 6.1; each of them has some error at this rate but for a few."""
    touched = [
        one.labels != image
        for one, image in zip(inject_errors(IMAGES, NAMES, 3, rate=0.1, image_share=0.25), IMAGES, strict=True)
    ]
    assert abs(sum(touched) - 50) < 4 * 6.1


def test_crowds_and_unusable_labels_stay() -> None:
    fixed = [label(0, (10, 10, 200, 200), crowd=True), label(1, (5, 5, 5, 9)), label(-1, (50, 50, 90, 90))]
    for seed in range(20):
        (one,) = inject_errors([labels_of(*fixed, width=640, height=640)], NAMES, seed, rate=0.3)
        assert one.labels.objects[:3] == tuple(fixed)
        assert one.dropped == ()


def test_a_single_class_is_never_swapped() -> None:
    images = [labels_of(*(label(0, (10, 10, 60, 60)) for _ in range(10)), width=640, height=640)] * 50
    assert _count(inject_errors(images, NAMES[:1], 1, rate=0.2))["class"] == 0


def test_no_images_and_no_labels() -> None:
    assert inject_errors([], NAMES, 1) == []
    empty = labels_of(width=640, height=640)
    (one,) = inject_errors([empty], NAMES, 1, rate=0.3)
    assert one == CorruptedLabels(empty, (), (), ())


@pytest.mark.parametrize("box", [(0, 0, 640, 640), (0, 0, 3, 3)])
def test_boxes_that_can_hardly_be_moved_do_not_hang(box: BoxXyxy) -> None:
    images = [labels_of(label(0, box), width=640, height=640)] * 20
    assert len(inject_errors(images, NAMES, 1, rate=0.3)) == 20
