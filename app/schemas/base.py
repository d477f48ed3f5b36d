"""Base of all schemas of requests and answers."""

from __future__ import annotations

from pydantic import ConfigDict

from yoloscope.models.strict_model import StrictModel


class Schema(StrictModel):
    """A document that has exactly the fields it declares, with finite numbers; answers are filled in part by part."""

    model_config = ConfigDict(frozen=False, use_attribute_docstrings=True)
