"""Health answers."""

from __future__ import annotations

from typing import Literal

from app.schemas.base import Schema


class Live(Schema):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(Schema):
    """The default model has run on the provider that was asked for."""

    status: Literal["ready"] = "ready"
    model: str
    version: str
    provider: str
