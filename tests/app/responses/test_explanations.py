import pytest

from yoloscope.app.responses.explanations import explain, place_in_file
from yoloscope.app.schemas.detect import CornerBox
from yoloscope.app.schemas.score import ObjectPrediction, ObjectScore, TermValue

BOX = CornerBox(x1=0, y1=0, x2=9, y2=9)


def _entry(
    *, objectness: float = 0.9, name: str = "cat", iou: float = 0.8, flags: tuple[str, ...] = (), **terms: float
) -> ObjectScore:
    predicted = ObjectPrediction(
        box=BOX, score=0.7, objectness=objectness, class_id=0, class_name=name, iou=iou, stride=8, cell=[0, 0], anchor=0
    )
    return ObjectScore(
        index=0,
        pointer="/lines/0",
        class_name="cat",
        box=BOX,
        total=sum(terms.values()),
        terms={key: TermValue(raw=value, weighted=value) for key, value in terms.items()},
        box_parts={},
        rank=1,
        assignments=[],
        predicted=predicted,
        flags=list(flags),
    )


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            _entry(flags=("lost",)),
            "No predictor can be assigned to it, so it teaches nothing: no scale has an anchor for it.",
        ),
        (_entry(flags=("collided",)), "Its predictor is assigned to another object, so it teaches nothing."),
        (_entry(objectness=0.02, objectness_=3.0), "The model sees little there (objectness 0.02)."),
        (_entry(name="dog", classification=4.0), "The model calls it dog (0.70)."),
        (
            _entry(name="dog", iou=0.3, classification=1.0, xy=3.0),
            "The model places it elsewhere (overlap 0.30) and calls it dog (0.70).",
        ),
        (
            _entry(objectness=0.46, objectness_=1.0, wh=9.0),
            "The model sees little there (objectness 0.46); most of the cost is box.",
        ),
        (_entry(box=1.0), "Model and label agree (overlap 0.80, objectness 0.90)."),
        (_entry(wh=9.0), "Model and label agree (overlap 0.80, objectness 0.90); most of the cost is box."),
    ],
)
def test_sentences(entry: ObjectScore, sentence: str) -> None:
    assert explain(entry, total=100.0) == sentence


@pytest.mark.parametrize(
    ("pointer", "place"), [("/lines/0", "line 1"), ("/annotations/3/bbox", "/annotations/3/bbox"), ("", "the file")]
)
def test_places_are_counted_as_people_do(pointer: str, place: str) -> None:
    assert place_in_file(pointer) == place
