"""Worked numbers of the losses by topic, computed by the loss presets; ``yoloscope explain`` prints them."""

from __future__ import annotations

from yoloscope.training.explain.article import article
from yoloscope.training.explain.questions import anchors, maxiou
from yoloscope.training.explain.table import Table, Topic
from yoloscope.training.explain.versions import constants, terms, v1, v2, v3, v4
from yoloscope.training.explain.walkthrough import walkthrough

OVERVIEW = "Loss, an overview of YOLOv1 to v4"
ARTICLE = "How can a YOLO loss function be implemented from scratch in PyTorch?"
THREAD = "How to calculate the loss of YOLO V2"
WALKTHROUGH = "YOLOv1 Loss Function Walkthrough: Regression for All"

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("constants", OVERVIEW, "The lambdas and thresholds of YOLOv1 to v4.", constants),
        Topic("v1", OVERVIEW, "YOLOv1's loss of one object, each term filled in.", v1),
        Topic("v2", OVERVIEW, "YOLOv2's loss of one object.", v2),
        Topic("v3", OVERVIEW, "YOLOv3's loss of the same object.", v3),
        Topic("v4", OVERVIEW, "YOLOv4's loss of the same object.", v4),
        Topic("terms", OVERVIEW, "The reports of v2 and v4 by term, object and background.", terms),
        Topic("article", ARTICLE, "The three losses of the article on a grid of 2x2 cells.", article),
        Topic("maxiou", THREAD, "What 1[MaxIoU < Thresh] in YOLOv2's loss means.", maxiou),
        Topic("anchors", THREAD, "What a cell's other anchors cost when one has the object.", anchors),
        Topic("walkthrough", WALKTHROUGH, "Every number of the walkthrough, beside the text's.", walkthrough),
    )
}

__all__ = ["TOPICS", "Table", "Topic"]
