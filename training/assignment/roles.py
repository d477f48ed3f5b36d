"""What a predictor is to the loss, and what became of an object."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Part that one predictor (cell and anchor) plays.

    ``PRIOR`` is a background predictor during the early phase of YOLOv2 training that pulls every predictor towards its
    anchor (darknet src/region_layer.c); ignored ones are pulled too and keep their role.
    """

    BACKGROUND = 0
    IGNORED = 1
    RESPONSIBLE = 2
    EXTRA = 3
    PRIOR = 4


class Fate(IntEnum):
    """What became of one object.

    ``COLLIDED``: every predictor that should have served it serves another object. ``LOST``: no head has a predictor
    for it: its best anchor belongs to no head, no anchor passes the rule, or the box has no area.
    """

    SERVED = 0
    COLLIDED = 1
    LOST = 2
