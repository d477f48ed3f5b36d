from pathlib import Path

from tests.training.data.datasets.folders import write_image, write_text, write_yolo
from yoloscope.training.data.audit import audit
from yoloscope.training.data.datasets import open_dataset

LINES = """\
0 .5 .5 .25 .25
0 .5 .5 0 .25
7 .5 .5 .5 .5
1 .95 .5 .2 .5
0 .5 .5 .25 .25
1 .5 .5 .02 .5
"""


def test_every_kind_of_bad_label_is_named_by_file_and_place(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    write_text(tmp_path / "labels/train/a.txt", LINES)
    findings = audit(open_dataset(tmp_path, "train"))
    assert [(finding.kind, finding.pointer) for finding in findings] == [
        ("degenerate", "/lines/1"),
        ("unknown_class", "/lines/2"),
        ("out_of_bounds", "/lines/3"),
        ("identical", "/lines/4"),
        ("tiny", "/lines/5"),
    ]
    assert {finding.path.name for finding in findings} == {"a.txt"}
    assert str(findings[0]).endswith("a.txt#/lines/1: degenerate: " + findings[0].detail)


def test_tiny_may_be_one_of_the_networks(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    assert audit(open_dataset(tmp_path)) == ()
    kinds = [finding.kind for finding in audit(open_dataset(tmp_path), network_size=(6, 60))]
    assert kinds == []
    kinds = [finding.kind for finding in audit(open_dataset(tmp_path), network_size=(4, 60))]
    assert kinds == ["tiny", "tiny"]


def test_files_come_first_and_headers_are_compared(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "classes.txt", "cat\ndog\n")
    (tmp_path / "labels/train/a.txt").unlink()
    dataset = open_dataset(tmp_path)
    assert audit(dataset)[0].path.name == "a.txt"
    write_image(tmp_path / "images/val/b.png", (30, 40))
    assert [finding.kind for finding in audit(dataset)] == ["missing_labels", "image_size"]


def test_bccd_has_two_boxes_without_area(data_dir: Path) -> None:
    findings = audit(open_dataset(data_dir / "bccd"))
    assert [(finding.kind, finding.path.name, finding.pointer, finding.class_name) for finding in findings] == [
        ("degenerate", "BloodImage_00338.xml", "/annotation/object/12/bndbox", "RBC"),
        ("degenerate", "BloodImage_00343.xml", "/annotation/object/3/bndbox", "RBC"),
    ]


def test_coco128_is_clean_except_for_a_tie_of_less_than_a_network_pixel(data_dir: Path) -> None:
    dataset = open_dataset(data_dir / "coco128")
    assert audit(dataset) == ()
    findings = audit(dataset, network_size=(416, 416))
    assert [(finding.kind, finding.class_name) for finding in findings] == [("tiny", "tie")]
