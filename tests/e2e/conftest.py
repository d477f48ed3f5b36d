"""The real service in a process of its own, with the official yolov4-tiny."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_TIMEOUT_S = 180


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str
    announcement: str

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("YOLOSCOPE_")}
    return {**clean, "YOLOSCOPE_PROVIDER": "cpu", **variables}


def start_service(*arguments: str, **variables: str) -> Service:
    """Start ``yoloscope serve`` on a free port and wait until it says where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0", *arguments],
        env=environment(**variables),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    deadline = time.monotonic() + START_TIMEOUT_S
    while "try:" not in said:
        ready, _, _ = select.select([process.stderr], [], [], max(deadline - time.monotonic(), 0))
        line = process.stderr.readline() if ready else ""
        if not line:
            process.kill()
            process.wait()
            raise AssertionError(f"the service did not start:\n{said}")
        said += line
    address = re.search(r"listens on (\S+)", said)
    assert address is not None, said
    return Service(process, address.group(1), said)


@pytest.fixture(scope="session")
def models_dir(oracles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the official yolov4-tiny, pulled from the weights folder."""
    folder = tmp_path_factory.mktemp("pulled")
    run = subprocess.run(
        [sys.executable, "-m", "app.cli", "pull", "yolov4-tiny"],
        env=environment(YOLOSCOPE_MODELS_DIR=str(folder), YOLOSCOPE_WEIGHTS=str(oracles_dir / "weights")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="session")
def service(models_dir: Path) -> Iterator[Service]:
    running = start_service(YOLOSCOPE_MODELS_DIR=str(models_dir))
    yield running
    running.process.terminate()
    running.process.wait(60)
    assert running.process.stderr is not None
    running.process.stderr.close()
