"""The comparison of servers: which answers count as equal, and that no process is left."""

import json
import os
import time
from argparse import Namespace
from pathlib import Path

import pytest
from PIL import Image

from tests.app.artifact import write_tiny_artifact
from tests.benchmarks.serve.__main__ import free_port, require_equal
from tests.benchmarks.serve.arrangements import form, servers
from tests.benchmarks.serve.peers.detector import Detector
from tests.benchmarks.serve.processes import Memory, Program, family
from tests.benchmarks.serve.table import Alone, Figures, print_table
from tests.helpers.images import encoded
from yoloscope.app.load_generator import Load, LoadResult


def answer(score: float, x1: float, class_id: int = 1) -> bytes:
    box = {"x1": x1, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    return json.dumps({"results": [{"detections": [{"class_id": class_id, "score": score, "box": box}]}]}).encode()


def test_answers_are_equal_but_for_rounding() -> None:
    peer = json.dumps({"detections": [{"class_id": 1, "score": 0.5, "box": [1.0, 2.0, 3.0, 4.0]}]}).encode()
    require_equal("peer", peer, answer(0.5004, 1.2))
    for other in (answer(0.502, 1.0), answer(0.5, 1.6), answer(0.5, 1.0, 2), b'{"detections": []}'):
        with pytest.raises(SystemExit, match="peer answers otherwise"):
            require_equal("peer", peer, other)


def test_peers_detect_as_the_service_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_MODEL", str(write_tiny_artifact(tmp_path / "tiny.onnx")))
    monkeypatch.setenv("DETECTOR_THREADS", "1")
    image = encoded(Image.new("RGB", (64, 48), (51, 51, 51)))
    found = Detector()(image)["detections"]
    assert [(item["class_id"], round(item["score"], 3)) for item in found] == [(0, 0.6), (1, 0.5), (0, 0.375)]
    assert found[0]["box"] == pytest.approx([8.0, 12.0, 40.0, 36.0])


def test_a_form_holds_the_image_as_it_is() -> None:
    body = form(b"\xff\xd8\r\n--")
    boundary = body.content_type.partition("boundary=")[2].encode()
    assert body.data.split(b"\r\n\r\n", 1)[1] == b"\xff\xd8\r\n--\r\n--" + boundary + b"--\r\n"


def test_a_program_ends_with_all_that_it_started(tmp_path: Path) -> None:
    command = ["sh", "-c", "trap '' INT; sleep 99 & echo $!; sleep 99"]
    with Program(command, dict(os.environ), tmp_path / "log", grace_s=0.2) as program:
        while not (child := (tmp_path / "log").read_text().strip()) or len(family(program.process.pid)) < 3:
            time.sleep(0.01)
        assert int(child) in family(program.process.pid)
        memory = program.memory()
        assert 0 < memory.pss < memory.rss
        assert program.cpu_s() >= 0
    assert program.process.returncode == -9
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_table_has_medians_and_ratios_of_neighbors(capsys: pytest.CaptureFixture[str]) -> None:
    def figures(*counts: int) -> Figures:
        results = [LoadResult(Load(connections=1), 1.5, [0.01] * count, elapsed_s=2.0) for count in counts]
        results[0].errors["503"] += 2
        return Figures(3.0, {1: results}, {1: [50.0, 60.0, 70.0]}, Memory(100, 80))

    options = Namespace(model=Path("m.onnx"), threads=2, rounds=3, duration=2, connections=[1])
    alone = {
        "alone": Alone(1, {1: [10.0, 20.0, 40.0]}, {1: [40.0, 45.0, 50.0]}),
        "two at once": Alone(2, {1: [90.0, 90.0, 90.0]}, {1: [40.0, 40.0, 40.0]}),
    }
    everyone = {"yoloscope serve": figures(10, 30, 20), "slow": figures(10, 10, 10), "fast": figures(40, 15, 16)}
    print_table(options, everyone, alone)
    rows = capsys.readouterr().out.splitlines()
    assert "| alone | | | 20.0 | | 45.0 | |" in rows
    assert "| two at once | | | 90.0 | | 40.0 | |" in rows
    assert "| yoloscope serve | 3.0 | 100 / 80 | 10.0 (1.25, 0.50) | 10 / 10 | 60.0 | 2 x 503 |" in rows
    assert "| fast | 3.0 | 100 / 80 | 8.0 (1.00, 0.38) | 10 / 10 | 60.0 | 2 x 503 |" in rows


def test_peers_get_the_model_and_the_threads_of_the_service(tmp_path: Path) -> None:
    for server in servers(tmp_path / "m.onnx", 2, tmp_path):
        port = free_port()
        environment = server.environment(port, tmp_path / "m.onnx", 2)
        said = [*server.command(port, tmp_path), *(f"{name}={value}" for name, value in environment.items())]
        assert any(str(port) in word for word in said)
        assert environment["DETECTOR_MODEL"] == str(tmp_path / "m.onnx")
        workers = int(environment.get("DETECTOR_WORKERS", "1"))
        assert int(environment["DETECTOR_THREADS"]) * workers == 2
