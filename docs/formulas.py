"""Hook of mkdocs: formulas between dollar signs become MathML, which browsers show without a script or a network."""

from __future__ import annotations

import re
from typing import Final

from latex2mathml.converter import convert

_CODE: Final = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_BLOCK: Final = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE: Final = re.compile(r"\$([^$\n]+)\$")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with its formulas as MathML; code is left as it is."""
    parts = _CODE.split(markdown)
    return "".join(part if index % 2 else _formulas(part) for index, part in enumerate(parts))


def _formulas(text: str) -> str:
    blocks = _BLOCK.sub(lambda found: f'<div class="formula">{_block(found[1])}</div>', text)
    return _INLINE.sub(lambda found: convert(found[1]), blocks)


def _block(latex: str) -> str:
    """Return a formula on lines of its own; the library knows ``aligned`` by the name ``align*`` alone."""
    return str(convert(latex.strip().replace("{aligned}", "{align*}"), display="block"))
