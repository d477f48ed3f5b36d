"""Words about the objects of a loss account: where each stands, and what makes it expensive."""

from __future__ import annotations

from yoloscope.app.schemas.score import ObjectScore

CHEAP_SHARE = 0.05
"""An object below this share of the total is not worth a complaint."""
PLACED_IOU = 0.5
SEEN_OBJECTNESS = 0.5


def place_in_file(pointer: str) -> str:
    """Return a JSON pointer into a label file as people count: lines of a text file from 1."""
    line = pointer.removeprefix("/lines/")
    return f"line {int(line) + 1}" if line != pointer else pointer or "the file"


def explain(entry: ObjectScore, total: float) -> str:
    """Return a sentence about an object of an image whose loss is ``total``."""
    if "lost" in entry.flags:
        return "No predictor may serve it, so it teaches nothing: no scale has an anchor for it."
    if "collided" in entry.flags:
        return "Its predictor serves another object, so it teaches nothing."
    there = entry.predicted
    complaints = {}
    if there.objectness < SEEN_OBJECTNESS:
        complaints["objectness"] = f"the model sees little there (objectness {there.objectness:.2f})"
    elif there.class_name != entry.class_name:
        complaints["classification"] = f"the model calls it {there.class_name} ({there.score:.2f})"
    if there.iou < PLACED_IOU:
        complaints["box"] = f"the model places it elsewhere (overlap {there.iou:.2f})"
    shares = {"objectness": 0.0, "classification": 0.0, "box": 0.0}
    for name, term in entry.terms.items():
        shares[name if name in shares else "box"] += term.weighted
    ordered = sorted(shares, key=lambda name: -shares[name])
    first, *others = [complaints[name] for name in ordered if name in complaints] or [""]
    found = " and ".join((first, *(other.removeprefix("the model ") for other in others)))
    agreement = f"Model and label agree (overlap {there.iou:.2f}, objectness {there.objectness:.2f})"
    sentence = f"{found[0].upper()}{found[1:]}" if found else agreement
    cheap = entry.total <= CHEAP_SHARE * total
    return f"{sentence}." if cheap or ordered[0] in complaints else f"{sentence}; most of the cost is {ordered[0]}."
