import pytest

from yoloscope.training.data.annotations import UNKNOWN_CLASS, ClassIndex


@pytest.mark.parametrize(
    ("written", "expected"),
    [("traffic light", 1), ("Traffic_Light", 1), ("traffic-light", 1), ("motorcycle", 0), ("sofa", UNKNOWN_CLASS)],
)
def test_spellings(written: str, expected: int) -> None:
    assert ClassIndex(("motorbike", "traffic light")).by_name(written) == expected


def test_an_exact_name_wins_and_an_ambiguous_loose_one_is_unknown() -> None:
    index = ClassIndex(("RBC", "rbc"))
    assert (index.by_name("RBC"), index.by_name("rbc"), index.by_name("Rbc")) == (0, 1, UNKNOWN_CLASS)


def test_ids_outside_the_model_s_are_unknown() -> None:
    index = ClassIndex(("a", "b"))
    assert [index.by_id(i) for i in (-1, 0, 1, 2)] == [UNKNOWN_CLASS, 0, 1, UNKNOWN_CLASS]
