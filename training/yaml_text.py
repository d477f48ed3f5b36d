"""YAML in which no key may stand twice: of two values one would be lost without a word."""

from __future__ import annotations

from collections.abc import Iterator

import yaml


def load_yaml(text: str) -> object:
    """Return the document as plain values; raise yaml.YAMLError where it is none or has a key twice.

    What a merge (``<<``) brings may still be overridden.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for mapping in _mappings(root, set()):
        seen: set[tuple[str, str]] = set()
        for key, _ in mapping.value:
            name = (key.tag, str(key.value))
            if name in seen:
                expected = f"expected every key once, got {key.value!r} twice"
                raise yaml.constructor.ConstructorError(None, None, expected, key.start_mark)
            seen.add(name)
    document: object = yaml.safe_load(text)
    return document


def _mappings(node: yaml.Node | None, visited: set[int]) -> Iterator[yaml.MappingNode]:
    """Yield every mapping under a node once, whatever refers to it."""
    if node is None or id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    for child in children:
        yield from _mappings(child, visited)
