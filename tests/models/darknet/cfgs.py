"""Small cfgs for the tests."""

from __future__ import annotations

NET = "[net]\nwidth=64\nheight=48\nchannels=3\n"
YOLO = "[yolo]\nmask=0,1\nanchors=4,5, 9,7\nclasses=2\nnum=2\n"
HEAD_CONV = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"


def conv(filters: int = 8, *options: str) -> str:
    """Return a [convolutional] section; further options as ``key=value``."""
    lines = (f"filters={filters}", "size=3", "pad=1", "batch_normalize=1", "activation=leaky", *options)
    return section("convolutional", *lines)


def section(name: str, *options: str) -> str:
    """Return a section."""
    return "\n".join((f"[{name}]", *options, ""))


def detector(*sections: str, net: str = NET, head_conv: str = HEAD_CONV, head: str = YOLO) -> str:
    """Return a cfg of these sections and a two-class head with two anchors."""
    return "".join((net, *sections, head_conv, head))
