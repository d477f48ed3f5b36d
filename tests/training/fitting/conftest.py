"""Runs without the slow export."""

import pytest

import yoloscope.training.train


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the export out, which takes longer than all the training here."""
    monkeypatch.setattr(yoloscope.training.train, "export_best", lambda *_: None)
