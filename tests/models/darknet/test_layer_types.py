from tests.models.darknet.reference import PAGE, with_tables
from yoloscope.models.darknet.layer_types import ALIASES, LAYER_TYPES, REFUSED_TYPES


def test_documented_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert page == with_tables(page), "renew docs/darknet.md: python -m tests.models.darknet.reference"


def test_no_section_is_both_supported_and_refused() -> None:
    assert not (set(LAYER_TYPES) | set(ALIASES)) & set(REFUSED_TYPES)
    assert set(ALIASES.values()) <= set(LAYER_TYPES)


def test_no_key_is_both_read_and_inert_or_refused_without_being_named_so() -> None:
    for layer_type in LAYER_TYPES.values():
        assert not set(layer_type.keys) & set(layer_type.inert)
        assert not set(layer_type.inert) & set(layer_type.refused)
