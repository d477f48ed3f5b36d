"""Runs without the slow export."""

import pytest

import training.fit


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the export out, which takes longer than all the training here."""
    monkeypatch.setattr(training.fit, "export_best", lambda *_: None)
