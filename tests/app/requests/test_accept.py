"""Content negotiation by the Accept header."""

import pytest

from yoloscope.app.requests.accept import preferred
from yoloscope.models.errors import NotAcceptableError

OFFERED = ("application/json", "image/jpeg", "image/png")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("image/jpeg, */*", "image/jpeg"),
        ("application/json;q=0.1, image/png", "image/png"),
        ("text/html, */*;q=0.1", "application/json"),
        ("*/*, application/json;q=0", "image/jpeg"),
        ("image/png;q=broken, image/jpeg", "image/jpeg"),
    ],
)
def test_negotiation(accept: str | None, expected: str) -> None:
    assert preferred(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "*/*;q=0", "image/png;q=nan", "nonsense"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="application/json"):
        preferred(accept, OFFERED)
