"""An evaluation as one self-contained HTML page, its charts drawn as SVG."""

from yoloscope.training.evaluation.report.page import render_page

__all__ = ["render_page"]
