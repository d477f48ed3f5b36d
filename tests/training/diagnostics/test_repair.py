"""Gains of repairs against the loss of labels that are edited by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.app.scoring import SPECS, YOLO_HEADS, make_spec
from yoloscope.models.spec import DetectorSpec, HeadSpec
from yoloscope.models.structures import GroundTruth
from yoloscope.training.diagnostics.repair import Edits, LabelLoss, NetworkLabels
from yoloscope.training.losses import compute_loss

Label = tuple[tuple[float, float, float, float], int]
"""Corners as fractions of the network input, class."""
Edit = tuple[int, int | None, Label | None]
"""Image, label that is edited (None: one is added), and what it becomes (None: nothing)."""

ONE_CLASS = make_spec("one-class", YOLO_HEADS, "v4", class_names=("cell",))
EIGHTY = make_spec("eighty", YOLO_HEADS, "v4", class_names=tuple(f"c{i}" for i in range(80)))
V1 = make_spec(
    "v1-paper",
    (HeadSpec(kind="detection", grid_width=4, grid_height=4, boxes_per_cell=2, sqrt_wh=True, activation="none",
              class_activation="none"),),
    "v1",
    family="v1",
    anchors_px=(),
)  # fmt: skip
ALL = {
    **SPECS,
    "v1-paper": V1,
    "v3": make_spec("v3", YOLO_HEADS, "v3", family="v3"),
    "v4-darknet": make_spec("v4-darknet", YOLO_HEADS, "v4-darknet"),
    "v2-darknet": SPECS["v2"].model_copy(update={"loss": SPECS["v2"].loss.model_copy(update={"preset": "v2-darknet"})}),
    "one-class": ONE_CLASS,
    "eighty": EIGHTY,
}
BOXES = ((0.1, 0.1, 0.4, 0.5), (0.5, 0.55, 0.9, 0.9), (0.15, 0.6, 0.35, 0.8))


def _labels(spec: DetectorSpec) -> list[list[Label]]:
    """Three images; the second one has no label."""
    last = len(spec.class_names) - 1
    return [[(BOXES[0], 0), (BOXES[1], last), (BOXES[2], 0)], [], [(BOXES[2], last)]]


def _edits(spec: DetectorSpec) -> list[Edit]:
    last = len(spec.class_names) - 1
    moved = (0.2, 0.15, 0.45, 0.5)
    return [
        (0, 1, None),
        (0, None, ((0.6, 0.05, 0.8, 0.3), last)),
        (0, 0, (moved, 0)),
        (1, None, (BOXES[0], 0)),
        (0, 0, (BOXES[0], last)),
        (2, 0, None),
        (2, 0, (BOXES[2], 0)),
        (0, 2, (moved, last)),
    ]


def _heads(spec: DetectorSpec, count: int = 3) -> list[Tensor]:
    source = np.random.default_rng(5)
    return [
        torch.tensor(source.normal(0, 1.5, spec.head_shape(i, count)).astype(np.float32))
        for i in range(len(spec.heads))
    ]


def _truth(images: Sequence[Sequence[Label]]) -> GroundTruth:
    rows = [(label, image) for image, labels in enumerate(images) for label in labels]
    corners = torch.tensor([label[0] for label, _ in rows], dtype=torch.float64).reshape(-1, 4)
    boxes = torch.cat(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]), 1)
    return GroundTruth(
        boxes.float(),
        torch.tensor([label[1] for label, _ in rows], dtype=torch.int64),
        torch.tensor([image for _, image in rows], dtype=torch.int64),
        len(images),
    )


def _loss(heads: Sequence[Tensor], image: int, labels: Sequence[Label], spec: DetectorSpec) -> float:
    own = [head[image : image + 1] for head in heads]
    return float(compute_loss(own, _truth([labels]), spec, divisor=1.0).total)


def _network_labels(images: Sequence[Sequence[Label]]) -> NetworkLabels:
    rows = [(label, image) for image, labels in enumerate(images) for label in labels]
    return NetworkLabels(
        torch.tensor([label[0] for label, _ in rows], dtype=torch.float64).reshape(-1, 4),
        torch.tensor([label[1] for label, _ in rows], dtype=torch.int64),
        torch.tensor([image for _, image in rows], dtype=torch.int64),
        len(images),
    )


def _as_edits(edits: Sequence[Edit], images: Sequence[Sequence[Label]]) -> Edits:
    first = np.cumsum([0, *map(len, images)]).tolist()
    nothing: Label = ((0.0, 0.0, 1.0, 1.0), 0)
    return Edits(
        torch.tensor([image for image, _, _ in edits], dtype=torch.int64),
        torch.tensor([-1 if row is None else first[image] + row for image, row, _ in edits], dtype=torch.int64),
        torch.tensor([(after or nothing)[0] for _, _, after in edits], dtype=torch.float64).reshape(-1, 4),
        torch.tensor([(after or nothing)[1] for _, _, after in edits], dtype=torch.int64),
        torch.tensor([after is None for _, _, after in edits], dtype=torch.bool),
    )


def _edited(labels: Sequence[Label], edit: Edit) -> list[Label]:
    _, row, after = edit
    changed = list(labels)
    if row is None:
        assert after is not None
        return [*changed, after]
    changed[row : row + 1] = [] if after is None else [after]
    return changed


@pytest.mark.parametrize("name", ALL)
def test_a_gain_is_the_difference_of_two_losses(name: str) -> None:
    spec = ALL[name]
    heads, images, edits = _heads(spec), _labels(spec), _edits(spec)
    gains = LabelLoss(heads, _network_labels(images), spec).gains(_as_edits(edits, images))
    for row, edit in enumerate(edits):
        before = _loss(heads, edit[0], images[edit[0]], spec)
        expected = before - _loss(heads, edit[0], _edited(images[edit[0]], edit), spec)
        assert gains.total[row].item() == pytest.approx(expected, abs=2e-6 * abs(before))
        assert sum(term[row].item() for term in gains.terms.values()) == pytest.approx(gains.total[row].item())


def test_no_edits_and_no_labels() -> None:
    spec = SPECS["v4"]
    gains = LabelLoss(_heads(spec), _network_labels([[], [], []]), spec).gains(_as_edits([], []))
    assert gains.total.shape == (0,)
    assert all(term.shape == (0,) for term in gains.terms.values())


def test_a_label_off_the_network_input_is_left_out() -> None:
    """Its center lies on 1.1: no loss can take it. Moving it in costs what adding one does."""
    spec = SPECS["v4"]
    heads = _heads(spec, 1)
    off: Label = ((1.0, 0.4, 1.2, 0.6), 0)
    edit: Edit = (0, 0, (BOXES[0], 1))
    gain = LabelLoss(heads, _network_labels([[off]]), spec).gains(_as_edits([edit], [[off]])).total.item()
    assert gain == pytest.approx(_loss(heads, 0, [], spec) - _loss(heads, 0, [(BOXES[0], 1)], spec), rel=1e-5)
