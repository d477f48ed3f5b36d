"""FiftyOne data sets of an audit, made with the package where it is installed, else with a stand-in."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.training.diagnostics.reports import open_pets, report_of
from yoloscope.models.errors import ConfigError
from yoloscope.training.diagnostics.exchange import to_fiftyone


class Record:
    """Fields as attributes and as items, like FiftyOne's samples and labels."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.fields[name] = value


class DatasetStandIn:
    def __init__(self, name: str, *, persistent: bool) -> None:
        self.name, self.persistent, self.info = name, persistent, dict[str, Any]()
        self.samples: list[Record] = []

    def add_samples(self, samples: list[Record]) -> None:
        self.samples += samples

    def __iter__(self) -> Iterator[Record]:
        return iter(self.samples)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("fiftyone") is None:
        module = ModuleType("fiftyone")
        vars(module).update(Dataset=DatasetStandIn, Sample=Record, Detection=Record, Detections=Record)
        monkeypatch.setitem(sys.modules, "fiftyone", module)


@pytest.mark.usefixtures("stand_in")
def test_labels_findings_and_flags_are_fields_of_samples(tmp_path: Path) -> None:
    made = to_fiftyone(report_of(split="val"), open_pets(tmp_path), f"pets-{tmp_path.name}", persistent=False)
    assert dict(made.info) == {"model": "builtin", "version": "abc", "data": "pets", "split": "val"}
    by_name = {Path(sample["filepath"]).name: sample for sample in made}
    sample = by_name["a.png"]
    assert sample["filepath"] == str(tmp_path / "images/a.png")
    assert [one.label for one in sample["ground_truth"].detections] == ["cat", "dog"]
    assert sample["ground_truth"].detections[1].bounding_box == pytest.approx([0.5, 0.5, 0.5, 0.5])
    missing, wrong, moved = sample["findings"].detections
    assert missing.bounding_box == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert (missing["kind"], missing["label_index"], missing.confidence) == ("missing", None, 0.97)
    assert (wrong.label, wrong["label_index"], wrong["gain"]) == ("cat", 1, 1.25)
    assert (moved.label, moved["reason"]) == ("cat", "the model is sure")
    assert sample["probability"] == 0.97
    (other,) = (one for name, one in by_name.items() if name != "a.png")
    assert list(other["ground_truth"].detections[0]["flags"]) == ["tiny: under a pixel. it cannot be learned"]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(ConfigError, match="expected the package fiftyone, got none"):
        to_fiftyone(report_of(), open_pets(tmp_path), "pets")
