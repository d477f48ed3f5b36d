"""What each kind of error costs, as bars."""

from __future__ import annotations

import math
from typing import Final

from training.evaluation.html.markup import Markup, decimal, tag
from training.evaluation.tide import KINDS, TideKind, TideResult

_MEANING: Final[dict[TideKind, str]] = {
    "classification": "an object well placed, under another class",
    "localisation": "the right class, IoU between .1 and .5",
    "both": "another class and badly placed",
    "duplicate": "an object that a better detection has",
    "background": "no object there",
    "missed": "an object that nothing points at",
}


def draw_errors(tide: TideResult) -> Markup:
    """Return a table of the six kinds with their counts and the gain in AP50 if they were repaired."""
    gains = {kind: 0.0 if math.isnan(gain) else max(gain, 0.0) for kind, gain in tide.gains.items()}
    longest = max(*gains.values(), 1e-9)
    rows = [
        tag(
            "tr",
            tag("th", kind, tag("small", _MEANING[kind]), scope="row"),
            tag("td", tag("div", class_="bar", style=f"width:{100 * gains[kind] / longest:.1f}%"), class_="wide"),
            tag("td", f"+{decimal(gains[kind])}", class_="figure"),
            tag("td", f"{tide.counts[kind]:,}", class_="figure"),
        )
        for kind in KINDS
    ]
    head = tag("tr", tag("th", "kind"), tag("th"), tag("th", "AP50 gained"), tag("th", "count"))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="errors")
