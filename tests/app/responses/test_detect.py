"""COCO category ids of the answer in COCO results format."""

from yoloscope.app.responses.detect import COCO_CATEGORY_IDS, is_coco
from yoloscope.models.zoo.official import OFFICIAL


def test_coco_category_ids_have_the_official_gaps() -> None:
    assert len(COCO_CATEGORY_IDS) == 80
    names = OFFICIAL["yolov4-tiny"].class_names
    ids = dict(zip(names, COCO_CATEGORY_IDS, strict=True))
    assert (ids["person"], ids["stop sign"], ids["dog"], ids["toothbrush"]) == (1, 13, 18, 90)
    assert is_coco(names)
    assert not is_coco(names[::-1])
    assert not is_coco(names[:79])
