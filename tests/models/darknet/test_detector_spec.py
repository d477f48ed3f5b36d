from pathlib import Path

import pytest

from tests.models.darknet.cfgs import HEAD_CONV, NET, YOLO, conv, detector, section
from yoloscope.models.darknet.builder import build_darknet
from yoloscope.models.darknet.network import require_complete
from yoloscope.models.errors import CfgError, ConfigError
from yoloscope.models.spec import DetectorSpec

REGION = "[region]\nanchors=1.5,2, 4,5\nnum=2\nclasses=2\ncoords=4\nsoftmax=1\n"
TREE = "animal -1\nthing -1\ndog 0\ncat 0\n"
TREE_HEAD = "[region]\nanchors=1,2, 4,5\nnum=2\nclasses=4\ntree=data/my.tree\nmap=data/my.map\n"
TREE_CONV = HEAD_CONV.replace("14", "18")


def spec_of(text: str, names: tuple[str, ...] = ("a", "b")) -> DetectorSpec:
    return build_darknet(text, names).spec


def test_yolo_head() -> None:
    spec = spec_of(detector(conv(8, "stride=2"), head=YOLO.replace("mask=0,1", "mask=2,0").replace("num=2", "num=3")))
    assert list(spec.anchors_px) == [(4, 5), (9, 7), (0.5, 0.5)]
    head = spec.heads[0]
    assert (head.kind, head.grid_width, head.grid_height, head.anchor_indices) == ("yolo", 32, 24, (2, 0))
    assert (head.activation, head.class_activation, head.scale_xy) == ("sigmoid", "sigmoid", 1)
    assert spec.class_names == ("a", "b")


def test_heads_share_a_list_of_anchors_and_keep_different_ones_apart() -> None:
    other = YOLO.replace("9,7", "9,8")
    spec = spec_of(detector() + section("route", "layers=0") + YOLO + section("route", "layers=0") + other)
    assert list(spec.anchors_px) == [(4, 5), (9, 7), (4, 5), (9, 8)]
    assert [head.anchor_indices for head in spec.heads] == [(0, 1), (0, 1), (2, 3)]


def test_region_anchors_are_cells() -> None:
    spec = spec_of(detector(conv(8, "stride=2"), conv(8, "stride=2"), head=REGION))
    assert list(spec.anchors_px) == [(6, 8), (16, 20)]
    assert (spec.family, spec.heads[0].class_activation, spec.nms.beta) == ("v2", "softmax", None)


def test_detection_head() -> None:
    head = section("detection", "classes=2", "side=2", "num=3", "sqrt=1")
    text = NET + conv() + section("connected", "output=68", "activation=linear") + head
    spec = spec_of(text)
    only = spec.heads[0]
    assert (only.kind, only.grid_width, only.boxes_per_cell, only.sqrt_wh) == ("detection", 2, 3, True)
    assert (spec.family, only.class_activation, spec.head_shape(0, 5)) == ("v1", "none", (5, 68))


def test_gaussian_head_has_nine_entries() -> None:
    head = YOLO.replace("[yolo]", "[Gaussian_yolo]")
    network = build_darknet(detector(head_conv=HEAD_CONV.replace("14", "22"), head=head))
    assert network.spec.heads[0].kind == "gaussian_yolo"
    assert any("no loss preset covers Gaussian heads" in notice for notice in network.notices)


@pytest.mark.parametrize(
    ("extra", "beta", "noticed"),
    [
        ("", None, False),
        ("nms_kind=default\nbeta_nms=0.9\n", None, False),
        ("nms_kind=greedynms\nbeta_nms=0.9\n", 0.6, True),
        ("nms_kind=diounms\nbeta_nms=0.9\n", 0.9, False),
    ],
)
def test_suppression_is_that_of_darknets_detector(extra: str, beta: float | None, *, noticed: bool) -> None:
    network = build_darknet(detector(head=YOLO + extra))
    assert network.spec.nms.beta == beta
    assert any("greedynms is DIoU-NMS with beta 0.6" in notice for notice in network.notices) is noticed


def test_last_head_decides_on_suppression() -> None:
    first = YOLO + "nms_kind=diounms\n"
    assert spec_of(detector(head=first) + section("route", "layers=0") + YOLO).nms.beta is None


def test_unknown_nms_kind_falls_back_as_in_darknet() -> None:
    network = build_darknet(detector(head=YOLO + "nms_kind=softnms\n"))
    assert network.spec.nms.beta is None
    assert any("nms_kind=softnms is unknown" in notice for notice in network.notices)


def test_letterbox() -> None:
    assert spec_of(detector(net=NET + "letter_box=1\n")).resize.placement == "letterbox"
    assert spec_of(detector()).resize.placement == "stretch"


@pytest.mark.parametrize(
    ("extra", "family"),
    [
        ("", "v3"),
        ("iou_loss=mse\n", "v3"),
        ("iou_loss=ciou\n", "v4"),
        ("scale_x_y=1.05\n", "v4"),
        ("new_coords=1\n", "v4"),
    ],
)
def test_family_follows_the_head(extra: str, family: str) -> None:
    spec = spec_of(detector(head=f"{YOLO}{extra}\n"))
    assert (spec.family, spec.loss.preset) == (family, f"{family}-darknet")


def test_loss_keys_have_darknets_defaults_and_one_value_per_head_where_they_differ() -> None:
    second = YOLO + "obj_normalizer=0.4\niou_loss=ciou\n"
    overrides = spec_of(
        detector(head=YOLO + "ignore_thresh=.7\niou_loss=ciou\n") + section("route", "layers=0") + second
    ).loss.overrides
    assert overrides["ignore_thresh"] == (0.7, 0.5)
    assert overrides["obj_normalizer"] == (1.0, 0.4)
    assert overrides["iou_loss"] == "ciou"
    assert (overrides["iou_normalizer"], overrides["iou_thresh"], overrides["max_delta"]) == (0.75, 1.0, None)


def test_heads_must_agree_on_classes() -> None:
    text = (
        detector() + section("route", "layers=0") + YOLO.replace("classes=2", "classes=9").replace("mask=0,1", "mask=0")
    )
    with pytest.raises(CfgError, match=r"same classes= in every head, got 2 \(line 9\), 9 \(line 16\)"):
        build_darknet(text)


def test_absent_tree_leaves_the_network_incomplete() -> None:
    network = build_darknet(detector(head_conv=TREE_CONV, head=TREE_HEAD))
    assert network.spec.class_tree is None
    assert any("tree=data/my.tree was not found" in notice for notice in network.notices)
    with pytest.raises(CfgError, match=r"data/my\.tree was not found"):
        require_complete(network)


def test_tree_is_read_from_a_folder_above_the_cfg(tmp_path: Path) -> None:
    cfg = _tree_project(tmp_path)
    network = build_darknet(cfg)
    require_complete(network)
    tree = network.spec.class_tree
    assert tree is not None
    assert (tree.parents, tree.group_sizes, tree.reported) == ((-1, -1, 0, 0), (2, 2), ())
    assert network.spec.class_names == ("animal", "thing", "dog", "cat")
    assert network.spec.heads[0].class_activation == "tree"


def test_class_names_of_the_map_report_its_nodes(tmp_path: Path) -> None:
    spec = build_darknet(_tree_project(tmp_path), ["dog", "thing"]).spec
    assert spec.class_tree is not None
    assert (spec.class_tree.reported, spec.class_names, spec.num_classes) == ((2, 1), ("dog", "thing"), 4)
    with pytest.raises(ConfigError, match="expected 4 or 2 class names, got 3"):
        build_darknet(_tree_project(tmp_path), ["a", "b", "c"])


@pytest.mark.parametrize(
    ("tree", "message"),
    [("a -1\n", "expected 4 classes"), ("a 5\n", "line 1: expected a parent"), ("a x\n", "line 1: expected a name")],
)
def test_malformed_tree(tmp_path: Path, tree: str, message: str) -> None:
    cfg = _tree_project(tmp_path)
    (tmp_path / "data" / "my.tree").write_text(tree)
    with pytest.raises(CfgError, match=message):
        build_darknet(cfg)


def test_spec_survives_json() -> None:
    spec = spec_of(detector(head=YOLO + "max_delta=5\n"))
    assert DetectorSpec.from_json(spec.to_json()) == spec


def _tree_project(folder: Path) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "cfg").mkdir(exist_ok=True)
    (folder / "data" / "my.tree").write_text(TREE)
    (folder / "data" / "my.map").write_text("2\n1\n")
    cfg = folder / "cfg" / "mine.cfg"
    cfg.write_text(detector(head_conv=TREE_CONV, head=TREE_HEAD))
    return cfg
