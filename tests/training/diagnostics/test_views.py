"""Views of an image: mirrored boxes, and the merging of all views against a plain reference."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.training.diagnostics.painted import SPEC, PaintedDetector, paint, red_of, score_of
from yoloscope.models.spec import ResizeSpec
from yoloscope.training.diagnostics.views import MergedDetections, View, ViewDetections, detect_views, merge_views

VIEWS: tuple[View, ...] = ("plain", "mirrored", "flipped", "turned")
Box = tuple[float, float, float, float]
Row = tuple[Box, float, int, float]
"""Box, score, class and spread of a merged detection."""


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _greedy(boxes: list[list[float]], order: list[int], classes: list[int], threshold: float) -> list[int]:
    kept: list[int] = []
    for i in order:
        if all(classes[i] != classes[k] or _iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


def _merged_by_loops(found: ViewDetections) -> list[Row]:
    boxes = found.boxes_xyxy_frac.double().tolist()
    scores, classes, views = found.scores.double().tolist(), found.class_ids.tolist(), found.view_index.tolist()
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    heads = _greedy(boxes, order, classes, 0.65)
    members: dict[int, dict[int, int]] = {head: {} for head in heads}
    for i in order:
        owner = next(
            head for head in heads if head == i or (classes[head] == classes[i] and _iou(boxes[head], boxes[i]) > 0.65)
        )
        members[owner].setdefault(views[i], i)
    rows: list[Row] = []
    for head in heads:
        own = list(members[head].values())
        total = sum(scores[i] for i in own)
        x1, y1, x2, y2 = (sum(scores[i] * boxes[i][k] for i in own) / total for k in range(4))
        spread = sum(1 - _iou(boxes[i], (x1, y1, x2, y2)) for i in own) / len(own)
        rows.append(((x1, y1, x2, y2), total / found.num_views, classes[head], spread))
    order = sorted(range(len(rows)), key=lambda i: -rows[i][1])
    kept = _greedy([list(row[0]) for row in rows], order, [row[2] for row in rows], 0.45)
    return [rows[i] for i in kept]


def _random(seed: int, count: int = 40, num_views: int = 4) -> ViewDetections:
    """Detections in clumps, so that views meet."""
    source = np.random.default_rng(seed)
    centers = source.uniform(0.2, 0.8, (6, 2))[source.integers(0, 6, count)] + source.normal(0, 0.012, (count, 2))
    half = source.uniform(0.08, 0.11, (count, 2))
    return ViewDetections(
        torch.tensor(np.concatenate((centers - half, centers + half), 1), dtype=torch.float32),
        torch.tensor(source.uniform(0.01, 1, count), dtype=torch.float32),
        torch.tensor(source.integers(0, 2, count)),
        torch.tensor(source.integers(0, num_views, count)),
        num_views,
        (),
    )


def _nothing(num_views: int = 4) -> ViewDetections:
    whole = torch.zeros(0, dtype=torch.int64)
    return ViewDetections(torch.zeros(0, 4), torch.zeros(0), whole, whole, num_views, ())


def _rows_of(found: MergedDetections, image: int) -> tuple[torch.Tensor, ...]:
    count = int((found.class_ids[image] >= 0).sum())
    assert (found.class_ids[image, count:] == -1).all()
    assert not found.scores[image, count:].any()
    columns = found.boxes_xyxy_frac, found.scores, found.class_ids, found.spread
    return tuple(column[image, :count] for column in columns)


class TestMerging:
    @pytest.mark.parametrize("seed", range(12))
    def test_it_agrees_with_loops(self, seed: int) -> None:
        found = _random(seed)
        expected = _merged_by_loops(found)
        boxes, scores, class_ids, spread = _rows_of(merge_views([found]), 0)
        assert 0 < len(expected) < len(found.scores)
        assert class_ids.tolist() == [row[2] for row in expected]
        np.testing.assert_allclose(scores.numpy(), [row[1] for row in expected], rtol=1e-5)
        np.testing.assert_allclose(boxes.numpy(), [row[0] for row in expected], atol=1e-6)
        np.testing.assert_allclose(spread.numpy(), [row[3] for row in expected], atol=1e-5)

    def test_two_views_of_one_object_by_hand(self) -> None:
        """Boxes .2 wide, .02 apart: IoU .18 / .22. The merged one is 3/4 of the way to the surer view."""
        boxes = torch.tensor([[0.2, 0.2, 0.4, 0.4], [0.22, 0.2, 0.42, 0.4]])
        found = ViewDetections(boxes, torch.tensor([0.6, 0.2]), torch.tensor([1, 1]), torch.tensor([0, 1]), 2, ())
        merged, scores, class_ids, spread = _rows_of(merge_views([found]), 0)
        assert merged[0].tolist() == pytest.approx([0.205, 0.2, 0.405, 0.4], abs=1e-6)
        assert scores.tolist() == pytest.approx([0.4])
        assert class_ids.tolist() == [1]
        near, far = 1 - 0.195 / 0.205, 1 - 0.185 / 0.215
        assert spread.tolist() == pytest.approx([(near + far) / 2], abs=1e-5)

    def test_an_object_of_one_view_has_its_score_shared_among_all(self) -> None:
        box = torch.tensor([[0.2, 0.2, 0.4, 0.4]])
        found = ViewDetections(box, torch.tensor([0.8]), torch.tensor([0]), torch.tensor([1]), 4, ())
        merged, scores, _, spread = _rows_of(merge_views([found]), 0)
        assert torch.allclose(merged, box)
        assert scores.tolist() == pytest.approx([0.2])
        assert spread.tolist() == pytest.approx([0], abs=1e-6)

    def test_an_image_has_the_same_bits_alone_and_in_any_batch(self) -> None:
        images = [_random(0), _nothing(), _random(1, 3), _random(2, 120), _random(3, 1)]
        together = merge_views(images)
        backwards = merge_views(images[::-1])
        for index, image in enumerate(images):
            alone = _rows_of(merge_views([image]), 0)
            for own, shared, other in zip(
                alone, _rows_of(together, index), _rows_of(backwards, len(images) - 1 - index), strict=True
            ):
                assert torch.equal(own, shared)
                assert torch.equal(own, other)

    def test_nothing_at_all(self) -> None:
        merged = merge_views([_nothing(), _nothing()])
        assert merged.boxes_xyxy_frac.shape == (2, 0, 4)
        assert merged.scores.shape == merged.class_ids.shape == merged.spread.shape == (2, 0)


class TestDetecting:
    def test_every_view_gives_the_boxes_of_the_image_as_it_is(self) -> None:
        """Two cells off the middle: each view sees them elsewhere, and all come back to the same place."""
        pixels = np.asarray(paint({(0, 1): (4, 0), (3, 2): (-2, 1)}))
        found = detect_views(PaintedDetector(), pixels, VIEWS)
        for view in range(4):
            rows = found.view_index == view
            assert found.class_ids[rows].tolist() == [0, 1]
            expected = torch.tensor([[0.0, 0.25, 0.25, 0.5], [0.75, 0.5, 1.0, 0.75]])
            assert torch.allclose(found.boxes_xyxy_frac[rows], expected, atol=1e-6)
            assert found.scores[rows].tolist() == pytest.approx([score_of(4), score_of(-2)], rel=1e-4)

    def test_a_mirrored_image_gives_the_mirrored_boxes(self) -> None:
        pixels = np.asarray(paint({(0, 1): (4, 0), (1, 3): (1, 1), (3, 2): (-2, 1)}))
        plain = detect_views(PaintedDetector(), pixels, ("plain", "mirrored"))
        mirrored = detect_views(PaintedDetector(), np.ascontiguousarray(pixels[:, ::-1]), ("plain", "mirrored"))
        x1, y1, x2, y2 = merge_views([plain]).boxes_xyxy_frac.unbind(-1)
        turned = torch.stack((1 - x2, y1, 1 - x1, y2), -1)
        assert torch.allclose(merge_views([mirrored]).boxes_xyxy_frac, turned, atol=1e-6)
        assert torch.equal(merge_views([mirrored]).scores, merge_views([plain]).scores)

    def test_boxes_are_fractions_of_a_letterboxed_image(self) -> None:
        """128x64 px lie on rows 16 to 48 of the network input: its second row of cells is the image's first."""
        spec = SPEC.model_copy(update={"resize": ResizeSpec(placement="letterbox")})
        pixels = np.asarray(paint({(1, 0): (4, 0)}, scale=2, cells=(4, 2)))
        found = detect_views(PaintedDetector(spec), pixels, VIEWS)
        boxes = found.boxes_xyxy_frac[found.scores > 0.5]
        assert torch.allclose(boxes, torch.tensor([[0.25, 0.0, 0.5, 0.5]]).expand(4, 4), atol=1e-6)

    def test_the_heads_are_those_of_the_plain_view(self) -> None:
        pixels = np.asarray(paint({(0, 1): (4, 0)}))
        detector = PaintedDetector()
        found = detect_views(detector, pixels, ("plain", "mirrored"))
        expected = detector.heads(pixels[None].astype(np.float32))
        assert all(np.array_equal(own.numpy(), head) for own, head in zip(found.heads, expected, strict=True))
        assert found.without_heads().heads == ()


class TestTiles:
    VIEWS: tuple[View, ...] = ("plain", "mirrored", "tiled")

    def _seen(self, left: int, top: int) -> ViewDetections:
        """An object of 24x24 px, a cell of a part, in an image of 160x160 px whose own cells have 40 px."""
        pixels = np.zeros((160, 160, 3), np.uint8)
        pixels[top : top + 24, left : left + 24] = (red_of(4), 255, 0)
        return detect_views(PaintedDetector(), pixels, self.VIEWS)

    @pytest.mark.parametrize(("left", "top"), [(24, 24), (0, 24), (112, 24), (24, 112), (136, 112)])
    def test_an_object_that_is_too_small_for_the_whole_image_is_found_in_its_part(self, left: int, top: int) -> None:
        found = self._seen(left, top)
        seen = found.scores > 0.02
        assert (found.tiled, found.num_views, found.view_index[seen].tolist()) == (2, 3, [2])
        expected = [left / 160, top / 160, (left + 24) / 160, (top + 24) / 160]
        assert found.boxes_xyxy_frac[seen][0].tolist() == pytest.approx(expected, abs=1e-5)
        merged = merge_views([found])
        assert float(merged.scores.max()) == pytest.approx(score_of(4) / 3, rel=1e-4)
        assert len(found.heads[0]) == 1

    def test_a_box_that_a_part_cuts_off_inside_the_image_is_dropped(self) -> None:
        assert not (self._seen(72, 24).scores > 0.02).any()

    def test_a_large_object_is_scored_by_the_views_of_the_whole_image(self) -> None:
        """Both views see it; the parts have a piece that is nearly as large, and nothing of a small one."""
        whole, piece, small = [0.1, 0.1, 0.45, 0.3], [0.1, 0.1, 0.39, 0.3], [0.6, 0.6, 0.8, 0.8]
        boxes = torch.tensor([whole, whole, piece, small])
        scores, views = torch.tensor([0.9, 0.7, 0.8, 0.6]), torch.tensor([0, 1, 2, 0])
        found = ViewDetections(boxes, scores, torch.tensor([1, 1, 1, 1]), views, 3, (), tiled=2)
        merged, merged_scores, _, _ = _rows_of(merge_views([found]), 0)
        assert merged_scores.tolist() == pytest.approx([0.8, 0.2])
        assert merged[0].tolist() == pytest.approx(whole)
