"""Flags of labels that need no prediction, each with its consequence."""

import pytest
import torch

from tests.training.diagnostics.painted import SPEC, label, labels_of
from yoloscope.training.assignment.grid import MatchStatus
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.diagnostics.findings import FlagKind
from yoloscope.training.diagnostics.flags import find_collisions, find_flags

SCALE = (1.0, 1.0)


@pytest.mark.parametrize(
    ("box", "kind", "consequence"),
    [
        ((10, 10, 10, 30), "degenerate", "cannot learn"),
        ((70, 10, 90, 30), "outside", "cannot learn"),
        ((50, 10, 70, 30), "out_of_bounds", "cuts it to the image"),
        ((10, 10, 10.5, 30), "tiny", "under a pixel"),
        ((0, 0, 64, 4), "anchor_misfit", "No anchor"),
    ],
)
def test_a_faulty_box_has_one_flag(box: BoxXyxy, kind: FlagKind, consequence: str) -> None:
    """The best anchor for 64x4 px is 20x12: 80 shared of 256 + 240 - 80, .19."""
    good = label(0, (8, 8, 28, 20))
    (flag,) = find_flags("a.png", labels_of(good, label(1, box)), SPEC, SCALE)
    assert (flag.image, flag.kind, flag.label_index, flag.class_name) == ("a.png", kind, 1, "dog")
    assert flag.box_xyxy_px == box
    assert consequence in flag.consequence
    assert flag.detail.startswith("expected ")


def test_a_coordinate_that_json_cannot_hold_is_0_and_stands_in_the_words() -> None:
    (flag,) = find_flags("a.png", labels_of(label(0, (8, 8, float("inf"), 20))), SPEC, SCALE)
    assert (flag.kind, flag.box_xyxy_px) == ("non_finite", (8, 8, 0, 20))
    assert "got corners (8, 8, inf, 20)" in flag.detail


def test_an_unknown_class_and_duplicates_are_named_in_the_order_of_the_labels() -> None:
    box = (8.0, 8.0, 28.0, 20.0)
    near = (8.0, 8.0, 28.0, 20.4)
    found = find_flags(
        "a.png", labels_of(label(0, box), label(-1, box), label(0, box), label(0, near), label(1, box)), SPEC, SCALE
    )
    assert [(flag.kind, flag.label_index) for flag in found] == [
        ("unknown_class", 1),
        ("identical", 2),
        ("duplicate", 3),
    ]
    assert found[0].class_name == "unicorn"
    assert all("evaluation calls one of both missed" in flag.consequence for flag in found[1:])


def test_sizes_are_those_on_the_network_input() -> None:
    """6x6 px are fine; at a tenth of the size they are under a pixel, across alone too."""
    labels = labels_of(label(0, (8, 8, 14, 14)))
    assert find_flags("a.png", labels, SPEC, SCALE) == []
    assert [flag.kind for flag in find_flags("a.png", labels, SPEC, (0.1, 1.0))] == ["tiny"]


def test_a_crowd_region_needs_no_anchor() -> None:
    assert find_flags("a.png", labels_of(label(0, (0, 0, 64, 4), crowd=True)), SPEC, SCALE) == []


def test_a_detector_without_anchors_has_no_misfits() -> None:
    spec = SPEC.model_copy(update={"anchors_px": ()})
    assert find_flags("a.png", labels_of(label(0, (0, 0, 64, 4))), spec, SCALE) == []


def test_only_labels_that_lost_all_their_predictors_collide() -> None:
    labels = labels_of(*(label(0, (8, 8, 28, 20)) for _ in range(4)))
    statuses = torch.tensor([MatchStatus.ASSIGNED, MatchStatus.COLLIDED, MatchStatus.LOST], dtype=torch.uint8)
    (flag,) = find_collisions("a.png", labels, statuses, [0, 2, 3])
    assert (flag.kind, flag.label_index) == ("collision", 2)
    assert "cannot learn this one" in flag.consequence
