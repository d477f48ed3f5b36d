"""Problem details (RFC 9457), the body of every error."""

from __future__ import annotations

from pydantic import Field

from yoloscope.app.schemas.base import Schema


class FieldProblem(Schema):
    """One fault in a request."""

    pointer: str
    """JSON pointer (RFC 6901) to the faulty field, for forms and queries its name; empty for the whole request."""
    detail: str
    """What was expected and what came."""


class Problem(Schema):
    """Why a request failed."""

    type: str = Field(examples=["urn:yoloscope:problem:image-decode"])
    """Identifies the kind of problem; stable."""
    title: str = Field(examples=["The image cannot be decoded"])
    """The kind of problem in words; the same for every problem of one type."""
    status: int = Field(ge=400, le=599, examples=[422])
    """The HTTP status."""
    detail: str = Field(examples=["expected a whole JPEG image, got one that fails: image file is truncated"])
    """What was expected and what came."""
    errors: list[FieldProblem] | None = None
    """The faulty fields, where fields are to blame."""
