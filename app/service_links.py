"""Variables that Kubernetes and Docker set for every service beside a container, which are no settings of ours.

Of a service named ``yoloscope`` they are ``YOLOSCOPE_PORT=tcp://10.0.0.1:80``, ``YOLOSCOPE_PORT_80_TCP=...`` and so on.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

_LINKED: Final = "YOLOSCOPE_PORT"
_PROTOCOLS: Final = ("tcp://", "udp://", "sctp://")


def drop_service_links(environment: MutableMapping[str, str]) -> None:
    """Remove ``YOLOSCOPE_PORT`` from an environment where it is the address of a service beside this one."""
    if environment.get(_LINKED, "").startswith(_PROTOCOLS):
        del environment[_LINKED]
