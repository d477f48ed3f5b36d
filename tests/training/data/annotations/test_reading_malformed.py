import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.annotations.labels import CONTEXT, VOC
from tests.training.data.annotations.malformed import malformed_files
from yoloscope.models.errors import LabelError, LabelProblem
from yoloscope.training.data.annotations import LabelFormat, lint, scan_labels, valid_labels

FILES = malformed_files(seed=3, count=360)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("index", range(len(FILES)))
def test_every_malformed_file_is_a_label_error_with_pointers(index: int) -> None:
    with pytest.raises(LabelError) as caught:
        valid_labels(FILES[index], CONTEXT)
    assert caught.value.problems
    assert all(problem.pointer[:1] in {"", "/"} and problem.detail for problem in caught.value.problems)


def _survives(data: bytes, label_format: LabelFormat) -> None:
    for told in (label_format, "auto"):
        problems: tuple[LabelProblem, ...] = ()
        try:
            lint(scan_labels(data, CONTEXT, label_format=told).labels, network_scale=(1.0, 1.0))
        except LabelError as error:
            problems = error.problems or (LabelProblem("unnamed", ""),)
        assert all(problem.pointer[:1] in {"", "/"} for problem in problems)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["yolo", "voc", "coco", "native"]))
def test_any_bytes_are_read_or_refused(data: bytes, label_format: LabelFormat) -> None:
    _survives(data, label_format)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["0", "1", "-1", ".5", "nan", "1e308", "x", "\n", "\r", "\x0b", "\x85", "²"]), max_size=25)
)
def test_any_tokens_are_read_or_refused_as_yolo_text(tokens: list[str]) -> None:
    _survives(" ".join(tokens).encode(), "yolo")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(VOC)), st.integers(0, 30), st.text("<>/ax1&;\"'![]\x00é", max_size=10))
def test_any_edit_of_a_voc_file_is_read_or_refused(position: int, cut: int, text: str) -> None:
    _survives((VOC[:position] + text + VOC[position + cut :]).encode(), "voc")


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["images", "annotations", "categories"]))
def test_any_json_in_a_coco_file_is_read_or_refused(value: object, key: str) -> None:
    document = {"images": [{"id": 1}], "annotations": [], "categories": []}
    _survives(json.dumps(document | {key: value}).encode(), "coco")
    _survives(json.dumps(document | {key: [value]}).encode(), "coco")


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["class_id", "class_name", "box", "difficult"]))
def test_any_json_in_a_native_file_is_read_or_refused(value: object, key: str) -> None:
    entry = {"class_id": 1, "box": {"x1": 1, "y1": 1, "x2": 9, "y2": 9}}
    _survives(json.dumps({"objects": [entry | {key: value}]}).encode(), "native")
    _survives(json.dumps({"objects": [value]}).encode(), "native")


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["", "size", "counts"]))
def test_any_json_in_a_segmentation_is_read_or_refused(value: object, key: str) -> None:
    mask = {"size": [100, 200], "counts": [20000], key: value}
    annotation = {"image_id": 1, "category_id": 1, "segmentation": mask if key else value}
    document = {"images": [{"id": 1}], "annotations": [annotation], "categories": [{"id": 1, "name": "dog"}]}
    _survives(json.dumps(document).encode(), "coco")


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789:;?@Aoalz`_", max_size=40))
def test_any_compressed_mask_is_read_or_refused(counts: str) -> None:
    annotation = {"image_id": 1, "category_id": 1, "segmentation": {"size": [100, 200], "counts": counts}}
    document = {"images": [{"id": 1}], "annotations": [annotation], "categories": [{"id": 1, "name": "dog"}]}
    _survives(json.dumps(document).encode(), "coco")
