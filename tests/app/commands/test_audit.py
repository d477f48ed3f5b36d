"""``yoloscope audit``: reports, interruptions, and classes that do not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.app.commands.audited import PLACE, add_image, audited_spec, write_data, write_model, yolo_line
from tests.app.commands.conftest import Run
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.locks import alone_in
from yoloscope.training.diagnostics import run as run_module
from yoloscope.training.diagnostics.findings import AuditReport

KEYS = ["image", "kind", "label_index", "class_name", "box", "suggestion", "probability", "gain", "reason"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    write_model(folder / "sure.onnx", audited_spec("sure"))
    write_model(folder / "other.onnx", audited_spec("other", calibration=None, class_names=("cat", "dog", "bird")))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def _findings(document: dict[str, Any], image: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in document["findings"] if one["image"] == f"images/{image}.png" and one["kind"] == kind]


class TestReport:
    def test_the_json_is_the_contract(self, run: Run, data: Path, models: Path) -> None:
        result = run("audit", "--data", data, "-m", models / "sure.onnx", "--json")
        assert result.exit_code == 0
        document = json.loads(result.stdout)
        assert {"model", "data", "findings"} <= set(document)
        assert (document["model"], document["data"]) == ("sure", "data")
        probabilities = [one["probability"] for one in document["findings"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert min(probabilities) >= 0.05
        for one in document["findings"]:
            assert list(one) == KEYS
            assert set(one["box"]) == {"x1", "y1", "x2", "y2"}
            assert math.isfinite(one["gain"])
        (missing,) = [one for one in _findings(document, "missing", "missing") if abs(one["box"]["x1"] - 8) < 0.1]
        assert (missing["label_index"], missing["class_name"]) == (None, "dog")
        assert missing["suggestion"] == {"class_name": "dog", "box": missing["box"]}
        assert list(missing["box"].values()) == pytest.approx(PLACE, abs=1e-3)

    def test_labels_count_from_0_unusable_ones_included(self, run: Run, data: Path, models: Path) -> None:
        document = json.loads(run("audit", "--data", data, "-m", models / "sure.onnx", "--json").stdout)
        (wrong,) = _findings(document, "class", "class")
        assert (wrong["label_index"], wrong["class_name"], wrong["suggestion"]["class_name"]) == (1, "cat", "dog")
        assert wrong["suggestion"]["box"] == wrong["box"]
        flags = [(flag["image"], flag["kind"], flag["label_index"]) for flag in document["flags"]]
        assert ("images/class.png", "degenerate", 0) in flags
        (spurious,) = [one for one in _findings(document, "spurious", "spurious") if one["label_index"] == 1]
        assert (spurious["class_name"], spurious["suggestion"]) == ("traffic light", None)
        assert spurious["probability"] > 0.99

    def test_a_lower_floor_lists_more(self, run: Run, data: Path, models: Path) -> None:
        model = models / "sure.onnx"
        lists = [
            json.loads(run("audit", "--data", data, "-m", model, "--json", "--floor", floor).stdout)["findings"]
            for floor in (0, 0.05, 0.9)
        ]
        assert len(lists[0]) > len(lists[1]) > len(lists[2]) > 0
        assert lists[1] == [one for one in lists[0] if one["probability"] >= 0.05]

    def test_a_stated_prevalence_moves_its_kind_alone(self, run: Run, data: Path, models: Path) -> None:
        command = ("audit", "--data", data, "-m", models / "sure.onnx", "--json", "--floor", 0)
        before, after = (json.loads(run(*command, *more).stdout) for more in ((), ("--prevalence", "missing=.1")))
        assert after["prevalence"] == before["prevalence"] | {"missing": 0.1}
        for old in before["findings"]:
            (new,) = [
                one
                for one in after["findings"]
                if all(one[key] == old[key] for key in ("image", "kind", "label_index", "class_name", "box"))
            ]
            p = old["probability"]
            expected = p / 9 / (p / 9 + 1 - p) if old["kind"] == "missing" else p
            assert new["probability"] == pytest.approx(expected, rel=1e-9)

    def test_boxes_are_pixels_of_the_image_as_seen(self, run: Run, tmp_path: Path, models: Path) -> None:
        """128x32 px, stretched; and 32x128 px that are turned by their EXIF tag."""
        folder = tmp_path / "sizes"
        add_image(folder, "wide", "", (128, 32))
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (32, 128)).save(folder / "images" / "turned.png", exif=exif)
        (folder / "labels" / "turned.txt").write_text("")
        (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
        document = json.loads(run("audit", "--data", folder, "-m", models / "sure.onnx", "--json").stdout)
        for name in ("wide", "turned"):
            found = max(_findings(document, name, "missing"), key=lambda one: one["probability"])
            assert list(found["box"].values()) == pytest.approx((16, 10, 80, 30), abs=1e-3)

    def test_classes_go_by_name(self, run: Run, data: Path, models: Path) -> None:
        """The data set has them in another order."""
        (data / "classes.txt").write_text("traffic light\ncat\ndog\n")
        add_image(data, "good", yolo_line(PLACE, 2))
        add_image(data, "class", yolo_line(PLACE, 1))
        (data / "labels" / "spurious.txt").write_text(yolo_line(PLACE, 2))
        document = json.loads(run("audit", "--data", data, "-m", models / "sure.onnx", "--json").stdout)
        (wrong,) = _findings(document, "class", "class")
        assert (wrong["class_name"], wrong["suggestion"]["class_name"]) == ("cat", "dog")
        assert _findings(document, "good", "class") == []

    def test_a_class_that_the_model_does_not_have_is_named(self, run: Run, data: Path, models: Path) -> None:
        with pytest.raises(DatasetError, match=r"expected a model that knows the classes of .*without traffic light"):
            run("audit", "--data", data, "-m", models / "other.onnx")

    def test_an_image_that_cannot_be_read_is_named_and_the_exit_status_says_so(
        self, run: Run, data: Path, models: Path
    ) -> None:
        path = data / "images" / "good.png"
        path.write_bytes(path.read_bytes()[:60])
        result = run("audit", "--data", data, "-m", models / "sure.onnx", "--json")
        assert result.exit_code == 1
        assert "1 images could not be read" in result.stderr
        document = json.loads(result.stdout)
        assert any("good.png" in skipped["location"] for skipped in document["skipped"])
        assert _findings(document, "missing", "missing")

    def test_tables_fit_80_columns(self, run: Run, data: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        output = run("audit", "--data", data, "-m", models / "sure.onnx").stdout
        rows = [line for line in output.splitlines() if line[:1] in "│┃┏┡└├" and line]
        assert rows
        assert max(map(len, rows)) <= 80
        assert "…" not in output
        assert "images/missing.png" in "".join(output.replace("│", " ").split())


class TestOutput:
    def _audit(self, run: Run, data: Path, models: Path, output: Path, *more: object) -> dict[str, bytes]:
        assert run("audit", "--data", data, "-m", models / "sure.onnx", "--output", output, *more).exit_code == 0
        return {name: (output / name).read_bytes() for name in ("report.json", "report.csv", "report.html")}

    @pytest.fixture
    def many(self, data: Path) -> Path:
        for number in range(30):
            add_image(data, f"more{number:02}", yolo_line(PLACE, number % 3))
        return data

    @pytest.mark.parametrize("kept", [0, 21])
    def test_an_audit_that_was_cut_off_anywhere_goes_on_to_the_same_bytes(
        self, kept: int, run: Run, many: Path, models: Path, tmp_path: Path
    ) -> None:
        whole = self._audit(run, many, models, tmp_path / "whole")
        lines = (tmp_path / "whole" / "images.jsonl").read_text().splitlines(keepends=True)
        assert len(lines) == 1 + 34
        cut = tmp_path / "cut"
        cut.mkdir()
        (cut / "images.jsonl").write_text("".join(lines[: 1 + kept]) + lines[1 + kept][:40])
        assert self._audit(run, many, models, cut) == whole
        assert (cut / "images.jsonl").read_text().count("\n") == 35

    def test_a_failure_between_chunks_keeps_what_is_done(
        self, run: Run, many: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self._audit(run, many, models, tmp_path / "whole")
        add = run_module.AuditLog.add

        def fail(log: run_module.AuditLog, audits: Any) -> None:
            add(log, audits)
            raise KeyboardInterrupt

        command = ("audit", "--data", many, "-m", models / "sure.onnx", "--output", tmp_path / "cut")
        with monkeypatch.context() as patch:
            patch.setattr(run_module.AuditLog, "add", fail)
            assert run(*command).exit_code == 130
        assert (tmp_path / "cut" / "images.jsonl").read_text().count("\n") == 1 + run_module.CHUNK
        assert not (tmp_path / "cut" / "report.json").exists()
        assert self._audit(run, many, models, tmp_path / "cut") == whole

    def test_an_output_is_written_by_one_audit_at_a_time(
        self, run: Run, data: Path, models: Path, tmp_path: Path
    ) -> None:
        with alone_in(tmp_path / "a", "audit"), pytest.raises(ConfigError, match="another audit is at work there"):
            run("audit", "--data", data, "-m", models / "sure.onnx", "--output", tmp_path / "a")
        assert not (tmp_path / "a").exists()
        self._audit(run, data, models, tmp_path / "a")
        assert not (tmp_path / "a" / ".lock").exists()

    def test_what_is_done_is_not_judged_again(
        self, run: Run, data: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self._audit(run, data, models, tmp_path / "a")
        monkeypatch.setattr("yoloscope.training.diagnostics.audit.detect_views", None)
        assert self._audit(run, data, models, tmp_path / "a") == whole

    @pytest.mark.parametrize(
        "more", [("--floor", 0.2), ("--prevalence", "class=.2"), ("-m", "bare"), ("labels",), ("images",)]
    )
    def test_another_model_setting_or_data_set_is_refused(
        self, more: tuple[object, ...], run: Run, data: Path, models: Path, tmp_path: Path
    ) -> None:
        self._audit(run, data, models, tmp_path / "a")
        model = models / "sure.onnx"
        if more == ("labels",):
            (data / "labels" / "good.txt").write_text(yolo_line(PLACE, 0))
            more = ()
        elif more == ("images",):
            add_image(data, "new", "")
            more = ()
        elif more[0] == "-m":
            model, more = write_model(tmp_path / "else.onnx", audited_spec("else")), ()
        with pytest.raises(ConfigError, match="belongs to an audit of another model, data set or setting"):
            run("audit", "--data", data, "-m", model, "--output", tmp_path / "a", *more)

    def test_the_report_is_read_back(self, run: Run, data: Path, models: Path, tmp_path: Path) -> None:
        text = self._audit(run, data, models, tmp_path / "a")["report.json"].decode()
        report = AuditReport.from_json(text)
        assert (report.num_images, report.num_labels) == (4, 5)
        assert report.seen_by_model is None
        assert any("not known whether the model was trained on these images" in note for note in report.notes)
        assert report.to_json() == text
