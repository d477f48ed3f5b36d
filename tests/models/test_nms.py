import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from tests.models.greedy import Floats, Ints, greedy_nms
from yoloscope.models import nms
from yoloscope.models.nms import diou_nms

Case = tuple[Floats, Floats, Ints, Floats]
Suppress = Callable[[Case, float | None], Ints]
UNIT = [0.0, 0.0, 1.0, 1.0]
BETAS = (0.6, None)


def eager(case: Case, beta: float | None) -> Ints:
    boxes, scores, groups, threshold = map(torch.from_numpy, case)
    kept: Ints = diou_nms(boxes, scores, groups, threshold, beta).numpy()
    return kept


class BothKinds(nn.Module):
    """DIoU and plain IoU suppression of the same candidates."""

    def forward(self, boxes: Tensor, scores: Tensor, groups: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return diou_nms(boxes, scores, groups, threshold, 0.6), diou_nms(boxes, scores, groups, threshold, None)


@pytest.fixture(scope="module")
def exported() -> Suppress:
    n = torch.export.Dim("n")
    example = torch.rand(7, 4), torch.rand(7), torch.zeros(7, dtype=torch.int64), torch.full((7,), 0.5)
    names = ["boxes", "scores", "groups", "threshold"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's remarks about itself
        program = torch.onnx.export(
            BothKinds(),
            example,
            dynamo=True,
            opset_version=20,
            input_names=names,
            output_names=["diou", "iou"],
            dynamic_shapes=[{0: n}] * len(names),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def suppress(case: Case, beta: float | None) -> Ints:
        kept: Ints = session.run(["iou" if beta is None else "diou"], dict(zip(names, case, strict=True)))[0]
        return kept

    return suppress


@pytest.fixture(params=["eager", "onnx"])
def suppress(request: pytest.FixtureRequest) -> Suppress:
    return eager if request.param == "eager" else request.getfixturevalue("exported")


def case_of(boxes: list[list[float]], scores: list[float], threshold: float = 0.45) -> Case:
    n = len(scores)
    return (
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(scores, np.float32),
        np.zeros(n, np.int64),
        np.full(n, threshold, np.float32),
    )


def random_case(rng: np.random.Generator) -> Case:
    """Spread, clustered or gridded boxes; scores distinct, tied or all equal; one to many groups."""
    n = int(rng.integers(0, 41))
    clusters = int(rng.integers(1, 9))
    member = rng.integers(0, clusters, n)
    spread = rng.choice([0.0, 0.01, 0.05, 0.5])
    centers = rng.random((clusters, 2))[member] + rng.normal(0, 1, (n, 2)) * spread
    sizes = rng.uniform(0.05, 0.5, (clusters, 2))[member] * np.exp(rng.normal(0, 1, (n, 2)) * spread)
    if rng.random() < 0.25:
        centers, sizes = np.round(centers * 8) / 8, np.maximum(np.round(sizes * 8), 0) / 8
    scores = rng.random(n)
    if rng.random() < 0.5:
        scores = np.round(scores * rng.choice([1, 10])) / 10
    groups = rng.integers(0, rng.choice([1, 2, 5, 80]), n) if rng.random() < 0.7 else member
    boxes = np.concatenate((centers - sizes / 2, centers + sizes / 2), 1)
    threshold = np.full(n, rng.choice([0.0, 0.25, 0.45, 0.5, 0.9]))
    return boxes.astype(np.float32), scores.astype(np.float32), groups.astype(np.int64), threshold.astype(np.float32)


def together(cases: list[Case]) -> Case:
    """One call for many cases: their groups made disjoint."""
    offsets = [1000 * index for index in range(len(cases))]
    return (
        np.concatenate([case[0] for case in cases]),
        np.concatenate([case[1] for case in cases]),
        np.concatenate([case[2] + offset for case, offset in zip(cases, offsets, strict=True)]),
        np.concatenate([case[3] for case in cases]),
    )


def apart(kept: Ints, cases: list[Case]) -> Iterator[Ints]:
    start = 0
    for case in cases:
        stop = start + len(case[1])
        yield kept[(kept >= start) & (kept < stop)] - start
        start = stop


@pytest.mark.parametrize("beta", BETAS)
def test_equals_the_sequential_algorithm_on_10_000_cases(suppress: Suppress, beta: float | None) -> None:
    rng = np.random.default_rng(20)
    suppressed = 0
    for _ in range(100):
        cases = [random_case(rng) for _ in range(100)]
        kept = suppress(together(cases), beta)
        for case, ours in zip(cases, apart(kept, cases), strict=True):
            expected = greedy_nms(*case, beta=beta)
            np.testing.assert_array_equal(ours, expected)
            suppressed += len(case[1]) - len(expected)
    assert suppressed > 20_000


@pytest.mark.parametrize("beta", BETAS)
def test_equals_the_sequential_algorithm_one_case_at_a_time(suppress: Suppress, beta: float | None) -> None:
    rng = np.random.default_rng(21)
    for _ in range(300):
        case = random_case(rng)
        np.testing.assert_array_equal(suppress(case, beta), greedy_nms(*case, beta=beta))


def test_candidates_of_one_class_by_the_thousand(suppress: Suppress) -> None:
    rng = np.random.default_rng(22)
    centers, sizes = rng.random((1500, 2)), rng.uniform(0.01, 0.3, (1500, 2))
    case = (
        np.concatenate((centers - sizes / 2, centers + sizes / 2), 1).astype(np.float32),
        rng.random(1500).astype(np.float32),
        np.zeros(1500, np.int64),
        np.full(1500, 0.45, np.float32),
    )
    np.testing.assert_array_equal(suppress(case, 0.6), greedy_nms(*case, beta=0.6))


@pytest.mark.parametrize(("first", "most"), [(1, 3), (3, 3), (1, 1 << 16), (1 << 16, 1 << 16)])
def test_a_bound_on_pairs_changes_nothing(monkeypatch: pytest.MonkeyPatch, first: int, most: int) -> None:
    rng = np.random.default_rng(23)
    monkeypatch.setattr(nms, "FIRST_PAIRS", first)
    monkeypatch.setattr(nms, "MAX_PAIRS", most)
    for _ in range(100):
        case = random_case(rng)
        np.testing.assert_array_equal(eager(case, 0.6), greedy_nms(*case, beta=0.6))


@pytest.mark.parametrize("most", [1, 4, 15, 1000])
def test_only_the_highest_candidates_take_part(most: int) -> None:
    rng = np.random.default_rng(26)
    for _ in range(50):
        boxes, scores, groups, threshold = random_case(rng)
        best = np.argsort(-scores, kind="stable")[:most]
        expected = best[greedy_nms(boxes[best], scores[best], groups[best], threshold[best], beta=0.6)]
        tensors = [torch.from_numpy(array) for array in (boxes, scores, groups, threshold)]
        kept = diou_nms(tensors[0], tensors[1], tensors[2], tensors[3], max_candidates=most)
        assert kept.tolist() == expected.tolist()


def test_no_candidate_and_one(suppress: Suppress) -> None:
    assert suppress(case_of([], []), 0.6).tolist() == []
    assert suppress(case_of([UNIT], [0.3]), 0.6).tolist() == [0]


def test_a_chain_of_suppressions_frees_every_second_box(suppress: Suppress) -> None:
    # Neighbors shifted by a quarter overlap with IoU 0.6, those shifted by a half with IoU 1/3.
    boxes = [[0.25 * k, 0.0, 0.25 * k + 1.0, 1.0] for k in range(9)]
    scores = [0.9 - 0.05 * k for k in range(9)]
    assert suppress(case_of(boxes, scores, 0.5), None).tolist() == [0, 2, 4, 6, 8]


def test_suppression_is_strict(suppress: Suppress) -> None:
    halves = [UNIT, [0.0, 0.0, 1.0, 0.5]]  # IoU is 1/2 exactly
    assert suppress(case_of(halves, [0.9, 0.8], 0.5), None).tolist() == [0, 1]
    assert suppress(case_of(halves, [0.9, 0.8], 0.4999), None).tolist() == [0]


def test_distance_saves_what_plain_iou_suppresses(suppress: Suppress) -> None:
    # IoU 1/2, d = 1/16, c = 2: similarity = 1/2 - (1/32)^0.6 = 0.375.
    halves = [UNIT, [0.0, 0.0, 1.0, 0.5]]
    assert suppress(case_of(halves, [0.9, 0.8], 0.45), 0.6).tolist() == [0, 1]
    assert suppress(case_of(halves, [0.9, 0.8], 0.37), 0.6).tolist() == [0]
    assert suppress(case_of(halves, [0.9, 0.8], 0.45), None).tolist() == [0]


def test_equal_scores_keep_the_lower_index(suppress: Suppress) -> None:
    far = [5.0, 5.0, 6.0, 6.0]
    assert suppress(case_of([far, UNIT, UNIT], [0.5, 0.5, 0.5]), 0.6).tolist() == [0, 1]


def test_groups_do_not_meet(suppress: Suppress) -> None:
    boxes, scores, _, threshold = case_of([UNIT] * 4, [0.1, 0.2, 0.3, 0.4])
    assert suppress((boxes, scores, np.array([3, 0, 3, 7]), threshold), 0.6).tolist() == [3, 2, 1]


def test_the_threshold_is_that_of_the_higher_score(suppress: Suppress) -> None:
    boxes, scores, groups, _ = case_of([UNIT, [0.0, 0.0, 1.0, 0.5]], [0.8, 0.9])
    assert suppress((boxes, scores, groups, np.array([0.9, 0.1], np.float32)), None).tolist() == [1]
    assert suppress((boxes, scores, groups, np.array([0.1, 0.9], np.float32)), None).tolist() == [1, 0]


@pytest.mark.parametrize("beta", BETAS)
def test_boxes_that_are_no_boxes_overlap_nothing(suppress: Suppress, beta: float | None) -> None:
    nothing = [
        [math.nan, 0.0, 1.0, 1.0],
        [0.0, 0.0, math.inf, 1.0],
        [-math.inf, -math.inf, math.inf, math.inf],
        [0.5, 0.5, 0.5, 0.5],
        [0.9, 0.0, 0.1, 1.0],
    ]
    boxes = [*nothing, *nothing, UNIT, UNIT]
    case = case_of(boxes, [0.9 - 0.01 * k for k in range(len(boxes))], 0.0)
    assert suppress(case, beta).tolist() == list(range(11))
    np.testing.assert_array_equal(suppress(case, beta), greedy_nms(*case, beta=beta))


@pytest.mark.parametrize("beta", BETAS)
def test_boxes_of_any_magnitude(suppress: Suppress, beta: float | None) -> None:
    sides = [1e-30, 1e-12, 1e-6, 1e6, 1e18, 1e25, 3e38]
    boxes = [[-s / 2, -s / 2, s / 2, s / 2] for s in sides for _ in range(2)]
    case = case_of(boxes, [0.5] * len(boxes), 0.45)
    np.testing.assert_array_equal(suppress(case, beta), greedy_nms(*case, beta=beta))


def test_a_candidate_without_a_score_is_dropped_and_suppresses_nothing(suppress: Suppress) -> None:
    assert suppress(case_of([UNIT, UNIT, UNIT], [math.nan, 0.2, -0.5]), 0.6).tolist() == [1]
    assert suppress(case_of([UNIT, UNIT, UNIT], [math.nan, -math.inf, -math.inf]), 0.6).tolist() == [1]


def test_negative_and_infinite_scores_are_ordered(suppress: Suppress) -> None:
    boxes = [[float(k), 0.0, k + 1.0, 1.0] for k in range(4)]
    assert suppress(case_of(boxes, [-1.0, -math.inf, math.inf, 0.0]), 0.6).tolist() == [2, 3, 0, 1]


def test_one_threshold_for_all_may_be_a_number() -> None:
    boxes, scores = torch.tensor([UNIT, UNIT]), torch.tensor([0.1, 0.2])
    groups = torch.zeros(2, dtype=torch.int64)
    assert diou_nms(boxes, scores, groups, 0.45).tolist() == [1]
    assert diou_nms(boxes, scores, groups, torch.tensor(1.0)).tolist() == [1, 0]


def test_arguments_are_left_alone() -> None:
    tensors = [torch.from_numpy(array) for array in random_case(np.random.default_rng(24))]
    before = [tensor.clone() for tensor in tensors]
    diou_nms(tensors[0], tensors[1], tensors[2], tensors[3])
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("beta", BETAS)
def test_cuda_equals_the_cpu(beta: float | None) -> None:
    rng = np.random.default_rng(25)
    case = together([random_case(rng) for _ in range(200)])
    boxes, scores, groups, threshold = (torch.from_numpy(array).cuda() for array in case)
    assert diou_nms(boxes, scores, groups, threshold, beta).cpu().tolist() == eager(case, beta).tolist()
