"""One range for all that is concatenated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx

from training.export.ranges import Range

_PASSING: Final = frozenset(("MaxPool", "Resize", "Slice", "Split", "Reshape", "Transpose"))
"""Operators whose result onnxruntime quantises as their first input."""


def share_ranges(network: onnx.ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return ranges with which the parts and the whole of every concatenation have one: the widest of theirs.

    Then concatenating 8-bit values copies them. Parts of other ranges go through a table, value by value, which takes a
    tenth of the time of yolov4-tiny on two threads. What is only passed on has no say, since its range is not used.
    """
    groups: dict[str, frozenset[str]] = {}
    wholes: set[str] = set()
    passed: set[str] = set()
    for node in network.graph.node:
        if node.op_type == "Concat":
            wholes.update(node.output)
            _unite(groups, (*node.input, *node.output))
        elif node.op_type in _PASSING:
            passed.update(node.output)
            _unite(groups, (node.input[0], *node.output))
    shared = dict(ranges)
    for group in set(groups.values()):
        known = [ranges[name] for name in group - passed if name in ranges]
        if known and group & wholes:
            widest = min(low for low, _ in known), max(high for _, high in known)
            shared |= {name: widest for name in group if name in ranges}
    return shared


def _unite(groups: dict[str, frozenset[str]], names: tuple[str, ...]) -> None:
    """Make one group of those of all the names."""
    united = frozenset(names).union(*(groups.get(name, ()) for name in names))
    groups.update(dict.fromkeys(united, united))
