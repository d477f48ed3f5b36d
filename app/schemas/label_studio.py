"""Schemas of what Label Studio sends to an ML backend, as far as it is read, and of the answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from yoloscope.app.schemas.base import Schema

LabelingConfigText = Annotated[str, Field(max_length=2_000_000)]
"""A labeling configuration in XML."""


class Sent(Schema):
    """A document of Label Studio, which has more fields than are read here."""

    model_config = ConfigDict(extra="ignore")


class SetupRequest(Sent):
    """The project that a backend is connected to."""

    label_config: Annotated[LabelingConfigText, Field(alias="schema")]


class ModelVersion(Schema):
    """The model that answers."""

    model_version: str


class Health(Schema):
    """The backend answers."""

    status: str = "UP"
    model_class: str = "Yoloscope"


class SentTask(Sent):
    """A task: its number, and the values that its labeling configuration names."""

    id: int | None = None
    data: dict[str, Any]


class PredictRequest(Sent):
    """Tasks to predict."""

    tasks: Annotated[list[SentTask], Field(max_length=1000)]
    label_config: LabelingConfigText


class Prediction(Schema):
    """The regions of one task."""

    result: list[dict[str, Any]]
    score: float
    model_version: str


class PredictAnswer(Schema):
    """The predictions of all tasks, in their order."""

    results: list[Prediction]
    model_version: str


class SentProject(Sent):
    """The project of an event."""

    label_config: LabelingConfigText | None = None


class SentAnnotation(Sent):
    """A submitted annotation."""

    id: int | None = None
    result: list[dict[str, Any]]


class WebhookRequest(Sent):
    """An event; only those of a submitted or changed annotation are acted on."""

    action: Annotated[str, Field(max_length=100)]
    project: SentProject | None = None
    task: SentTask | None = None
    annotation: SentAnnotation | None = None


class Review(Schema):
    """The loss of an annotation's labels, and what is doubtful about them."""

    annotation: int | None
    loss: float
    objects: int
    unknown_classes: list[str]
    """Labels of classes that the model does not have; they are not scored."""
    flagged: list[str]
    """Labels with a fault, in words."""
    unexplained: list[str]
    """Detections that no label explains, in words."""


class WebhookAnswer(Schema):
    """The outcome of an event: `reviewed`, `pending` (the review goes on after this answer) or `ignored`."""

    status: str
    review: Review | None = None
