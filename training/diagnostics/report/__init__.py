"""The findings of an audit as a page to review them on, as JSON, and as a table for spreadsheets."""

from yoloscope.training.diagnostics.report.page import write_page
from yoloscope.training.diagnostics.report.table import write_csv, write_json

__all__ = ["write_csv", "write_json", "write_page"]
