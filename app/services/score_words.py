"""One sentence about each object of a loss account: what makes it expensive."""

from __future__ import annotations

from app.schemas.score import ObjectScore

CHEAP_SHARE = 0.05
"""An object below this share of the total is not worth a complaint."""
PLACED_IOU = 0.5
SEEN_OBJECTNESS = 0.5


def explain(entry: ObjectScore, total: float) -> str:
    """Return a sentence about an object of a picture whose loss is ``total``."""
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
    found = " and ".join(complaints[name] for name in ordered if name in complaints)
    if found:
        return f"{found[0].upper()}{found[1:]}."
    agreement = f"Model and label agree (overlap {there.iou:.2f}, objectness {there.objectness:.2f})"
    return f"{agreement}." if entry.total <= CHEAP_SHARE * total else f"{agreement}; most of it is {ordered[0]}."
