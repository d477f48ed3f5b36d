"""The real service in a process of its own, with the official yolov4-tiny."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, Timer
from typing import IO

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = ["gpu", "quic", "background-networking", "component-update", "sync"]
START_TIMEOUT_S = 1200


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str
    announcement: str

    def stop(self) -> int:
        """Ask the service to stop, wait for it and return its exit status."""
        self.process.terminate()
        status = self.process.wait(60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with only the given settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("YOLOSCOPE_")}
    return {**clean, "YOLOSCOPE_PROVIDER": "cpu", **variables}


def start_service(*arguments: str, **variables: str) -> Service:
    """Start ``yoloscope serve`` on a free port and wait until it says where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "yoloscope.app.cli", "serve", "--port", "0", *arguments],
        env=environment(**variables),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    watchdog = Timer(START_TIMEOUT_S, process.kill)
    watchdog.start()
    for line in process.stderr:
        said.append(line)
        if line.startswith("try:"):
            break
    watchdog.cancel()
    announcement = "".join(said)
    address = re.search(r"listens on (\S+)", announcement)
    service = Service(process, address.group(1) if address else "", announcement)
    if address is None:
        service.stop()
        raise AssertionError(f"the service did not start:\n{announcement}")
    Thread(target=_drain, args=(process.stderr,), daemon=True).start()
    return service


def _drain(stream: IO[str]) -> None:
    """Keep reading the log, or the pipe fills up and the service waits for ever."""
    with suppress(ValueError):
        for _ in stream:
            pass


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of the service, empty before its first start."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def service(oracles_dir: Path, models_dir: Path) -> Iterator[Service]:
    """A service whose first start pulled the official yolov4-tiny from the weights folder."""
    running = start_service(YOLOSCOPE_MODELS_DIR=str(models_dir), YOLOSCOPE_WEIGHTS=str(oracles_dir / "weights"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def web_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of the built-in model, for the page at /."""
    folder = tmp_path_factory.mktemp("web")
    running = start_service(
        YOLOSCOPE_MODEL="builtin",
        YOLOSCOPE_MODELS_DIR=str(folder / "models"),
        YOLOSCOPE_AUDITS_DIR=str(folder / "audits"),
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; closed after each module, for Playwright runs once at a time."""
    with sync_playwright() as playwright:
        cameras = "--use-fake-device-for-media-stream=device-count=2"
        switches = ["--no-sandbox", "--no-first-run", cameras, *(f"--disable-{name}" for name in QUIET)]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield launched
        launched.close()


@pytest.fixture
def requested() -> list[str]:
    """The addresses that the page asked for."""
    return []


@pytest.fixture
def page(web_service: Service, browser: Browser, requested: list[str]) -> Iterator[Page]:
    """The page; at the end no word on the console and no request to another host."""
    opened = browser.new_page(viewport={"width": 1400, "height": 800})
    opened.set_default_timeout(60_000)
    said: list[str] = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(web_service.url)
    opened.locator("#model option").first.wait_for(state="attached")
    yield opened
    opened.close()
    assert not said
    assert {url.split("/")[2] for url in requested if not url.startswith("blob:")} == {web_service.url.split("/")[2]}


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of typescript and axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "typescript@5.9.3", "axe-core@4"]
    if subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip("needs a registry of npm packages")
    return folder / "node_modules"
