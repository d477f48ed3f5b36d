"""Decoding: hand-derived predictors, darknet's own raw detections, ONNX with a dynamic batch."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from yoloscope.models.decoding import Decoded, decode_heads, deepest_likely, tree_probabilities
from yoloscope.models.errors import SpecError
from yoloscope.models.registry import build
from yoloscope.models.spec import ClassTree, DetectorSpec, HeadSpec, LossSpec

REAL_MODELS = ("yolov4-tiny", "yolo-fastest", "yolo-fastest-1.1", "tiny-yolov2-trial7", "coco-trial6_653550")


def make_spec(*heads: HeadSpec, classes: int = 2, size: tuple[int, int] = (64, 32), **fields: Any) -> DetectorSpec:
    names = tuple(f"class{index}" for index in range(classes))
    return DetectorSpec(
        name="test",
        family="v4",
        class_names=names,
        input_width=size[0],
        input_height=size[1],
        anchors_px=((16.0, 8.0), (32.0, 16.0)),
        heads=heads,
        loss=LossSpec(preset="v4"),
        **fields,
    )


def yolo_head(**fields: Any) -> HeadSpec:
    values: dict[str, Any] = {"kind": "yolo", "grid_width": 2, "grid_height": 1, "anchor_indices": (1,), **fields}
    return HeadSpec(**values)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def column(*entries: float, cell: int = 1) -> Tensor:
    """A head of one anchor on a 2x1 grid whose given cell holds the entries; the other cell is zero."""
    head = torch.zeros(1, len(entries), 1, 2)
    head[0, :, 0, cell] = torch.tensor(entries)
    return head


def test_yolo_box_and_scores_by_hand() -> None:
    decoded = decode_heads((column(0.0, 0.0, math.log(0.5), 0.0, 0.0, 2.0, -1.0),), make_spec(yolo_head()))
    # Center of the second of two cells; 32x16 px anchor, halved in width, on a 64x32 input.
    torch.testing.assert_close(decoded.boxes_xyxy_norm[0, 1], torch.tensor([0.75 - 0.125, 0.25, 0.75 + 0.125, 0.75]))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.tensor([sigmoid(2) / 2, sigmoid(-1) / 2]))


def test_scale_xy_stretches_the_cell_about_its_center() -> None:
    low, high = -20.0, 20.0
    decoded = decode_heads((column(high, low, 0.0, 0.0, 0.0, 0.0, 0.0),), make_spec(yolo_head(scale_xy=1.2)))
    box = decoded.boxes_xyxy_norm[0, 1]
    torch.testing.assert_close((box[0] + box[2]) / 2, torch.tensor((1 + 1.1) / 2))
    torch.testing.assert_close((box[1] + box[3]) / 2, torch.tensor(-0.1))


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_new_coords_square_twice_the_gate(activation: str) -> None:
    gate = 0.6
    entry = math.log(gate / (1 - gate)) if activation == "sigmoid" else gate
    spec = make_spec(yolo_head(new_coords=True, scale_xy=2.0, activation=activation))
    decoded = decode_heads((column(*[entry] * 7),), spec)
    box = decoded.boxes_xyxy_norm[0, 1]
    torch.testing.assert_close(box[2] - box[0], torch.tensor(1.44 * 32 / 64))
    torch.testing.assert_close((box[0] + box[2]) / 2, torch.tensor((1 + 2 * gate - 0.5) / 2))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.tensor([gate * gate, gate * gate]))


def test_gaussian_score_is_lowered_by_the_mean_sigma() -> None:
    spec = make_spec(yolo_head(kind="gaussian_yolo"))
    decoded = decode_heads((column(0.0, 3.0, 0.0, -3.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0),), spec)
    torch.testing.assert_close(decoded.boxes_xyxy_norm[0, 1], torch.tensor([0.5, 0.25, 1.0, 0.75]))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.full((2,), 0.5 * 0.5 * 0.5))


def test_region_classes_are_a_softmax() -> None:
    head = yolo_head(kind="region", class_activation="softmax")
    decoded = decode_heads((column(0.0, 0.0, 0.0, 0.0, 0.0, math.log(3.0), 0.0),), make_spec(head))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.tensor([0.375, 0.125]))


@pytest.mark.parametrize(("sqrt_wh", "width"), [(True, 0.25), (False, 0.5)])
@pytest.mark.parametrize(("class_activation", "scores"), [("none", [0.5, 1.0]), ("softmax", [0.25, 0.25])])
def test_detection_head_by_hand(*, sqrt_wh: bool, width: float, class_activation: str, scores: list[float]) -> None:
    head = HeadSpec(
        kind="detection",
        grid_width=2,
        grid_height=1,
        boxes_per_cell=2,
        sqrt_wh=sqrt_wh,
        class_activation=class_activation,
        activation="none",
    )
    flat = torch.zeros(1, 2 * (2 + 5 * 2))
    flat[0, 0:4] = torch.tensor([9.0, 9.0, 1.0, 2.0] if class_activation == "none" else [9.0, 9.0, 1.0, 1.0])
    flat[0, 4:8] = torch.tensor([0.1, 0.2, 0.3, 0.5])
    flat[0, 8 + 12 : 8 + 16] = torch.tensor([0.5, 0.5, 0.5, 1.0])
    decoded = decode_heads((flat,), make_spec(head))
    # The second box of the second cell is the last of four rows.
    torch.testing.assert_close(decoded.boxes_xyxy_norm[0, 3], torch.tensor([0.75 - width / 2, 0, 0.75 + width / 2, 1]))
    torch.testing.assert_close(decoded.class_scores[0, 3], torch.tensor(scores))


def test_logistic_detection_head_by_hand() -> None:
    head = HeadSpec(kind="detection", grid_width=2, grid_height=1, boxes_per_cell=1, class_activation="softmax")
    decoded = decode_heads((torch.zeros(1, 2 * (2 + 5)),), make_spec(head))
    torch.testing.assert_close(decoded.boxes_xyxy_norm[0, 1], torch.tensor([0.5, 0.25, 1.0, 0.75]))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.tensor([0.25, 0.25]))


def test_rows_run_over_heads_anchors_rows_columns() -> None:
    first = yolo_head(grid_height=2, anchor_indices=(0, 1))
    spec = make_spec(first, yolo_head(grid_width=1))
    marked = torch.full((1, 14, 2, 2), -50.0)
    marked[0, 7 + 4, 1, 0] = 50.0
    marked[0, 7 + 5, 1, 0] = 50.0
    scores = decode_heads((marked, torch.full((1, 7, 1, 1), -50.0)), spec).class_scores
    assert scores.shape == (1, 9, 2)
    assert scores[0].argmax().item() == (4 + 2) * 2


def test_huge_log_sizes_stay_finite() -> None:
    decoded = decode_heads((column(0.0, 0.0, 1e4, 1e4, 0.0, 0.0, 0.0),), make_spec(yolo_head()))
    assert decoded.boxes_xyxy_norm.isfinite().all()


def test_empty_batch() -> None:
    decoded = decode_heads((torch.zeros(0, 7, 1, 2),), make_spec(yolo_head()))
    assert decoded.boxes_xyxy_norm.shape == (0, 2, 4)
    assert decoded.class_scores.shape == (0, 2, 2)


def test_half_precision_heads_are_decoded_in_float32() -> None:
    head = column(0.5, -0.5, 0.25, 0.75, 1.0, 2.0, -1.0)
    spec = make_spec(yolo_head())
    for whole, half in zip(decode_heads((head,), spec), decode_heads((head.half(),), spec), strict=True):
        assert half.dtype == torch.float32
        torch.testing.assert_close(whole, half)


def test_heads_that_contradict_the_spec_are_refused() -> None:
    spec = make_spec(yolo_head())
    with pytest.raises(SpecError, match="expected 1 heads, got 2"):
        decode_heads((torch.zeros(1, 7, 1, 2), torch.zeros(1, 7, 1, 2)), spec)
    with pytest.raises(SpecError, match=r"head 0: expected \[B, 7, 1, 2\], got \[1, 8, 1, 2\]"):
        decode_heads((torch.zeros(1, 8, 1, 2),), spec)
    with pytest.raises(SpecError, match="class_tree"):
        decode_heads((torch.zeros(1, 7, 1, 2),), make_spec(yolo_head(kind="region", class_activation="tree")))


# A root pair (0, 1), the children 2, 3, 4 of node 0, and the children 5, 6 of node 3.
TREE = ClassTree(parents=(-1, -1, 0, 0, 0, 3, 3), group_sizes=(2, 3, 2))


def tree_by_hand(logits: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    groups = ((0, 1), (2, 3, 4), (5, 6))
    given_parent = np.concatenate([np.exp(logits[list(g)]) / np.exp(logits[list(g)]).sum() for g in groups])
    absolute: list[float] = []
    for node, parent in enumerate(TREE.parents):
        absolute.append(float(given_parent[node]) * (1.0 if parent < 0 else absolute[parent]))
    return absolute


def test_tree_probabilities_are_products_along_the_path() -> None:
    logits = np.random.default_rng(0).normal(size=7) * 3
    logits[5:] -= 1000  # a group far below the others keeps its own softmax
    probabilities = tree_probabilities(torch.tensor(logits)[None, None, :, None], TREE)[0, 0, :, 0]
    np.testing.assert_allclose(probabilities, tree_by_hand(logits - np.where(np.arange(7) > 4, -1000, 0)), rtol=1e-9)


def test_only_the_deepest_likely_node_scores() -> None:
    absolute = torch.tensor([[0.9, 0.1, 0.1, 0.7, 0.1, 0.4, 0.3], [0.4, 0.4, 0.2, 0.1, 0.1, 0.1, 0.0]]).T[None, None]
    deepest = deepest_likely(absolute, TREE)[0, 0]
    assert deepest[:, 0].nonzero().flatten().tolist() == [3]
    assert not deepest[:, 1].any()


def test_reported_nodes_come_in_the_order_of_the_map() -> None:
    head = yolo_head(kind="region", class_activation="tree")
    tree = TREE.model_copy(update={"reported": (3, 0)})
    logits = [0.2, -0.4, 1.0, 0.5, -2.0, 0.0, 1.0]
    decoded = decode_heads((column(0.0, 0.0, 0.0, 0.0, 0.0, *logits),), make_spec(head, class_tree=tree))
    absolute = tree_by_hand(np.array(logits))
    torch.testing.assert_close(decoded.class_scores[0, 1], torch.tensor([absolute[3] / 2, absolute[0] / 2]))


def spec_of_model(folder: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> DetectorSpec:
    summary = json.loads((folder / "summary.json").read_text())
    _, height, width = summary["net"]
    heads: list[HeadSpec] = []
    anchors: list[tuple[float, float]] = []
    for head in summary["heads"]:
        grid = {"grid_width": head["w"], "grid_height": head["h"]}
        key = f"head{head['i']}"
        if head["kind"] == 2:
            cells = tensors[f"{key}_anchors_cells"].reshape(-1, 2)
            anchors = [(float(w * width / head["w"]), float(h * height / head["h"])) for w, h in cells]
            indices = tuple(range(len(anchors)))
            heads.append(HeadSpec(kind="region", anchor_indices=indices, class_activation="softmax", **grid))
        else:
            anchors = [(float(w), float(h)) for w, h in tensors[f"{key}_anchors_px"].reshape(-1, 2)]
            indices = tuple(int(index) for index in tensors[f"{key}_mask"])
            heads.append(HeadSpec(kind="yolo", anchor_indices=indices, scale_xy=head["scale_x_y"], **grid))
    return DetectorSpec(
        name=folder.name,
        family="v4",
        class_names=tuple(map(str, range(summary["classes"]))),
        input_width=width,
        input_height=height,
        anchors_px=tuple(anchors),
        heads=tuple(heads),
        loss=LossSpec(preset="v4"),
    )


def rows_above(decoded: Decoded, threshold: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[n, 6] class id, score, cx, cy, w, h, sorted by score."""
    row, class_id = (decoded.class_scores[0] > threshold).nonzero(as_tuple=True)
    scores, boxes = decoded.class_scores[0, row, class_id], decoded.boxes_xyxy_norm[0, row]
    centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    found = torch.cat((class_id[:, None], scores[:, None], centers, sizes), 1).double().numpy()
    return found[np.argsort(-found[:, 1], kind="stable")]


@pytest.mark.parametrize("threshold", ["0.25", "0.1"])
@pytest.mark.parametrize("model", REAL_MODELS)
def test_raw_detections_equal_darknets(oracles_dir: Path, model: str, threshold: str) -> None:
    folder = oracles_dir / "darknet_out" / model
    tensors = dict(np.load(folder / "dog_tensors.npz"))
    heads = tuple(torch.from_numpy(tensors[key])[None] for key in tensors if key.endswith("_pre"))
    ours = rows_above(decode_heads(heads, spec_of_model(folder, tensors)), float(threshold))
    results = json.loads((folder / "dog.json").read_text())["results"][threshold]["raw"]
    theirs = np.array([[d["class_id"], d["prob"], *d["cxcywh_rel"]] for d in results])
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours[:, 0], theirs[:, 0])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("folder", "network", "num_classes"),
    [
        ("p-yolov1", "yolov1", 20),
        ("p-yolov2-voc", "yolov2-voc", 20),
        ("p-yolov3", "yolov3", 80),
        ("p-yolov3-tiny", "yolov3-tiny", 80),
        ("p-yolov4", "yolov4", 80),
        ("p-yolov4-tiny", "yolov4-tiny", 80),
    ],
)
def test_every_detection_of_darknet_is_among_ours(
    oracles_dir: Path, folder: str, network: str, num_classes: int
) -> None:
    place = oracles_dir / "darknet_pseudo" / folder
    summary = json.loads((place / "summary.json").read_text())
    _, height, width = summary["net"]
    with torch.device("meta"):
        spec = build(network, num_classes, input_size=(width, height)).spec
    stored = np.load(place / "tensors.npz")
    heads = tuple(torch.from_numpy(stored[f"head{head['i']}_pre"])[None] for head in summary["heads"])
    ours = rows_above(decode_heads(heads, spec), 0.25)
    found = summary["detections_top300"]["0.25"]["nms_sort"]
    theirs = np.array([[d["class_id"], d["prob"], *d["cxcywh_rel"]] for d in found])
    assert len(theirs)
    for row in theirs:
        same_class = ours[ours[:, 0] == row[0]]
        same_score = same_class[np.isclose(same_class[:, 1], row[1], rtol=1e-5, atol=0)]
        # Untrained networks predict boxes of thousands of images, whose centers float32 corners know less exactly.
        reach = 1e-5 * max(1.0, np.abs(row[2:]).max())
        assert (np.abs(same_score[:, 2:] - row[2:]) <= reach).all(1).any(), row


class Decoder(nn.Module):
    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, *heads: Tensor) -> tuple[Tensor, Tensor]:
        return decode_heads(heads, self.spec)


EXPORTED = {
    "yolo": make_spec(yolo_head(scale_xy=1.1)),
    "new_coords": make_spec(yolo_head(new_coords=True, scale_xy=2.0)),
    "gaussian": make_spec(yolo_head(kind="gaussian_yolo")),
    "region": make_spec(yolo_head(kind="region", class_activation="softmax")),
    "tree": make_spec(yolo_head(kind="region", class_activation="tree"), class_tree=TREE),
    "detection": make_spec(
        HeadSpec(kind="detection", grid_width=3, grid_height=3, boxes_per_cell=2, sqrt_wh=True, class_activation="none")
    ),
}


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own exporter
@pytest.mark.parametrize("kind", EXPORTED)
def test_onnx_gives_the_same_for_any_batch(kind: str, tmp_path: Path) -> None:
    spec = EXPORTED[kind]
    decoder = Decoder(spec).eval()
    path = tmp_path / "decoder.onnx"
    example = (torch.randn(spec.head_shape(0, 2)),)
    batch = torch.export.Dim("batch")
    torch.onnx.export(decoder, example, path, dynamo=True, dynamic_shapes=(({0: batch},),), verbose=False)
    session = onnxruntime.InferenceSession(path)
    for size in (1, 3):
        head = torch.randn(spec.head_shape(0, size))
        outputs = session.run(None, {session.get_inputs()[0].name: head.numpy()})
        for ours, theirs in zip(decoder(head), outputs, strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-6)
