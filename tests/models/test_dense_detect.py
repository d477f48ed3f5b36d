"""Dense detections are those of ``detect`` but for the rounding of softmax, or say that they are not complete."""

import pytest
import torch
from torch import Tensor

from yoloscope.models.dense_detect import can_be_dense, dense_detect
from yoloscope.models.detector import detect
from yoloscope.models.registry import build
from yoloscope.models.spec import DetectorSpec


def spec_of(name: str, beta: float | None = 0.6) -> DetectorSpec:
    size = None if name == "yolov1" else (96, 64)
    with torch.device("meta"):
        spec = build(name, num_classes=3, input_size=size).spec
    return spec.model_copy(update={"nms": spec.nms.model_copy(update={"beta": beta})})


def random_heads(spec: DetectorSpec, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [spec.head_shape(index, batch) for index in range(len(spec.heads))]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def same_as_detect(heads: tuple[Tensor, ...], spec: DetectorSpec, score: Tensor, overlap: Tensor, rows: int) -> Tensor:
    """Compare every complete image, and return which are."""
    dense = dense_detect(heads, spec, score, overlap, rows=rows)
    counts, *expected = detect(heads, spec, score, overlap)
    for image in dense.complete.nonzero().squeeze(1).tolist():
        kept = dense.keep[image]
        assert kept.sum() == counts[image]
        for got, wanted in zip(dense[:3], expected, strict=True):
            torch.testing.assert_close(got[image][kept], wanted[image, : counts[image]], rtol=1e-6, atol=0)
    return dense.complete


@pytest.mark.parametrize("beta", [0.6, None])
@pytest.mark.parametrize("name", ["yolov1", "yolov2-tiny", "yolov3-tiny", "yolov4-tiny"])
def test_equals_detect(name: str, beta: float | None) -> None:
    spec = spec_of(name, beta)
    for seed in range(5):
        heads = random_heads(spec, 4, seed)
        score = torch.tensor([0.05, 0.3, 0.9, 1.0])
        assert same_as_detect(heads, spec, score, torch.tensor([0.1, 0.45, 0.3, 0.5]), 2048).all()


def test_equal_scores_are_in_the_order_of_detect() -> None:
    spec = spec_of("yolov4-tiny")
    heads = tuple(head.round() for head in random_heads(spec, 2))
    assert same_as_detect(heads, spec, torch.full((2,), 0.1), torch.full((2,), 0.4), 2048).all()


def test_more_candidates_than_rows_are_not_complete() -> None:
    spec = spec_of("yolov4-tiny")
    heads = random_heads(spec, 3)
    complete = same_as_detect(heads, spec, torch.tensor([0.01, 0.85, 1.0]), torch.full((3,), 0.45), 16)
    assert complete.tolist() == [False, True, True]


def test_a_long_chain_is_not_complete() -> None:
    """Each box of a row frees the next but one: a chain as long as the row."""
    spec = spec_of("yolov4-tiny")
    heads = [torch.zeros_like(head) for head in random_heads(spec, 1)]
    entries = heads[0].view(1, 3, 8, 2, 3)
    entries[:, :, 4] = -20
    entries[:, 0, 4, 0] = torch.tensor([5.0, 4.0, 3.0])
    entries[:, 0, 5:, 0] = torch.tensor([9.0, -20, -20])[:, None]
    entries[:, 0, 2, 0] = 3.0
    heads[1].view(1, 3, 8, -1)[:, :, 4] = -20
    given = tuple(heads), spec, torch.full((1,), 0.5), torch.full((1,), 0.2)
    one, many = (dense_detect(*given, rows=64, passes=passes) for passes in (1, 8))
    assert not one.complete.item()
    assert many.complete.item()
    assert same_as_detect(*given, 64).all()


def test_what_is_not_a_number_is_no_detection() -> None:
    spec = spec_of("yolov3-tiny")
    heads = random_heads(spec, 1)
    heads[0][:, 4], heads[0][:, 0] = torch.nan, torch.inf
    assert same_as_detect(heads, spec, torch.full((1,), 0.3), torch.full((1,), 0.45), 2048).all()


def test_class_trees_and_raw_classes_are_left_to_detect() -> None:
    spec = spec_of("yolov3-tiny")
    assert can_be_dense(spec)
    raw = spec.heads[0].model_copy(update={"class_activation": "none"})
    assert not can_be_dense(spec.model_copy(update={"heads": (raw, *spec.heads[1:])}))
