"""Explanations of object losses: the position in the label file, and in words what makes an object expensive."""

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
        return "No predictor can be assigned to it, so it teaches nothing: no scale has an anchor for it."
    if "collided" in entry.flags:
        return "Its predictor is assigned to another object, so it teaches nothing."
    predicted = entry.predicted
    complaints = {}
    if predicted.objectness < SEEN_OBJECTNESS:
        complaints["objectness"] = f"the model sees little there (objectness {predicted.objectness:.2f})"
    elif predicted.class_name != entry.class_name:
        complaints["classification"] = f"the model calls it {predicted.class_name} ({predicted.score:.2f})"
    if predicted.iou < PLACED_IOU:
        complaints["box"] = f"the model places it elsewhere (overlap {predicted.iou:.2f})"
    shares = {"objectness": 0.0, "classification": 0.0, "box": 0.0}
    for name, term in entry.terms.items():
        shares[name if name in shares else "box"] += term.weighted
    ordered = sorted(shares, key=lambda name: -shares[name])
    first, *others = [complaints[name] for name in ordered if name in complaints] or [""]
    found = " and ".join((first, *(other.removeprefix("the model ") for other in others)))
    agreement = f"Model and label agree (overlap {predicted.iou:.2f}, objectness {predicted.objectness:.2f})"
    sentence = f"{found[0].upper()}{found[1:]}" if found else agreement
    cheap = entry.total <= CHEAP_SHARE * total
    return f"{sentence}." if cheap or ordered[0] in complaints else f"{sentence}; most of the cost is {ordered[0]}."
