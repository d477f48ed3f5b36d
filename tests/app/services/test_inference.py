"""Classes by name or id."""

import pytest

from yoloscope.app.services.inference import resolve_classes
from yoloscope.models.errors import RequestError


def test_classes_by_name_come_before_ids() -> None:
    assert resolve_classes(["1", 1, "b"], ("1", "b", "b")) == {0, 1}
    with pytest.raises(RequestError, match="'x', 3, '-1', '²'"):
        resolve_classes(["x", 3, "-1", "²"], ("a", "b", "c"))
