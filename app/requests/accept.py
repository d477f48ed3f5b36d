"""Content negotiation: the type of answer that the Accept header prefers."""

from __future__ import annotations

from collections.abc import Sequence

from yoloscope.models.errors import NotAcceptableError


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered content type that an Accept header (RFC 9110, 12.5.1) wants most.

    Each offer has the quality of the most specific range that covers it; equal qualities go to the offer that was
    named more specifically, then to the first. Raises NotAcceptableError if none is wanted.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_parse_range(part) for part in accept.split(",")]
    ranked = [
        (
            *max(((specificity, quality) for pattern, quality in ranges if (specificity := _covers(pattern, offer)))),
            offer,
        )
        for offer in offered
        if any(_covers(pattern, offer) for pattern, _ in ranges)
    ]
    wanted = [(quality, specificity, offer) for specificity, quality, offer in ranked if quality > 0]
    if not wanted:
        raise NotAcceptableError(f"expected Accept to allow one of {', '.join(offered)}, got {accept[:200]!r}")
    return max(wanted, key=lambda item: item[:2])[2]


def _parse_range(text: str) -> tuple[str, float]:
    pattern, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return pattern, min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                return pattern, 0.0
    return pattern, 1.0


def _covers(pattern: str, offer: str) -> int:
    """Return how specifically a media range covers an offer: 3 exactly, 2 by type, 1 by ``*/*``, 0 not at all."""
    if pattern == offer:
        return 3
    if pattern == offer.partition("/")[0] + "/*":
        return 2
    return 1 if pattern == "*/*" else 0
