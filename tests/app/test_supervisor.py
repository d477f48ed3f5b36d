"""The supervisor of the service, over a small process that answers connections with its process id."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from yoloscope.app.supervisor import Lifeline, supervise

PROCESS = """
import os, select, signal, socket, sys
from yoloscope.app import supervisor

supervisor.PAUSES_S = (0, 0)
supervisor._TICK_S = 1 / 16
if "doubled" in sys.argv:
    supervisor.SAME_SIGNAL_S = 600
status = supervisor.supervise(["serve"], {"YOLOSCOPE_HANG_TIMEOUT_S": os.environ.get("HANG_TIMEOUT_S", "0.5")})
if status is not None:
    sys.exit(status)
lifeline = supervisor.Supervisor.lifeline

def stop(number, frame):
    print("stops", flush=True)
    if WAITS:
        return
    lifeline.leave()
    sys.exit(7)

WAITS = "waits" in sys.argv
signal.signal(signal.SIGTERM, stop)
if WAITS:
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(9))
if "fails" in sys.argv:
    sys.exit(5)
sockets = lifeline.sockets()
if sockets is None:
    sockets = [socket.create_server(("127.0.0.1", 0))]
    lifeline.keep([sockets[0].fileno()])
print(os.getpid(), sockets[0].getsockname()[1], flush=True)
if "beats" in sys.argv:
    lifeline.beat()
if "ignores" in sys.argv:
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
if "orphan" in sys.argv:
    select.select([lifeline], [], [])
    print("alone", flush=True)
    sys.exit(0)
while True:
    connection, _ = sockets[0].accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


@dataclass
class Supervised:
    process: subprocess.Popen[str]
    pid: int
    port: int

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def answer(self) -> int:
        """The id of the process that answers a connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            return int(connection.recv(100))

    def end(self) -> tuple[int, str]:
        """The exit status of the supervisor and what it wrote to stderr."""
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


@contextmanager
def supervised(*words: str) -> Iterator[Supervised]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        pid, port = process.stdout.readline().split() or (0, 0)
        yield Supervised(process, int(pid), int(port))
    finally:
        process.kill()
        process.communicate()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_was_killed_is_replaced_and_connections_wait_for_the_next() -> None:
    with supervised() as service:
        assert service.answer() == service.pid != service.process.pid
        os.kill(service.pid, signal.SIGKILL)
        while is_there(service.pid):  # and may still take a connection
            pass
        assert service.answer() == int(service.line().split()[0]) != service.pid
        service.process.terminate()
        assert service.line() == "stops"
        status, log = service.end()
    assert status == 7
    assert f"ERROR [-] the serving process {service.pid} was killed by SIGKILL" in log
    assert log.count("\n") == 1
    with pytest.raises(ConnectionRefusedError):
        service.answer()


def test_deaths_in_a_row_end_the_service() -> None:
    with supervised() as service:
        pid = service.pid
        for _ in range(2):
            os.kill(pid, signal.SIGSEGV)
            pid = int(service.line().split()[0])
        os.kill(pid, signal.SIGSEGV)
        status, log = service.end()
    assert status == 128 + signal.SIGSEGV
    assert log.splitlines()[-1].endswith("3 deaths in a row: it is not started again")


def test_a_process_that_never_listened_is_not_started_again() -> None:
    with supervised("fails") as service:
        assert service.end() == (5, "")


def test_a_process_that_was_asked_to_stop_itself_is_not_started_again() -> None:
    with supervised() as service:
        os.kill(service.pid, signal.SIGTERM)
        assert service.end() == (7, "")


def test_a_second_signal_ends_a_process_that_goes_on() -> None:
    with supervised("waits") as service:
        service.process.terminate()
        assert service.line() == "stops"
        service.process.send_signal(signal.SIGINT)
        assert service.end() == (128 + signal.SIGINT, "")


def test_the_process_hears_of_the_end_of_its_supervisor() -> None:
    with supervised("orphan") as service:
        service.process.kill()
        assert service.line() == "alone"


@pytest.mark.parametrize(("words", "name"), [((), "SIGABRT"), (("ignores",), "SIGKILL")])
def test_a_process_that_hangs_is_ended_and_started_again(words: tuple[str, ...], name: str) -> None:
    with supervised("beats", *words) as service:
        assert int(service.line().split()[0]) != service.pid  # it waits for a connection and gives no sign of life
        service.process.terminate()
        _, log = service.end()
    first, second = log.splitlines()[:2]
    assert f"CRITICAL [-] the serving process {service.pid} hangs: no sign of life for 0.5 s" in first
    assert f"the serving process {service.pid} was killed by {name}" in second


def test_a_process_that_is_stopped_does_not_hang() -> None:
    with supervised("beats") as service:
        os.kill(service.pid, signal.SIGSTOP)
        time.sleep(1.5)  # three times as long as it may hang
        os.kill(service.pid, signal.SIGCONT)
        assert service.answer() == service.pid
        service.process.terminate()
        assert service.end() == (7, "")


@pytest.mark.parametrize(("words", "limit"), [(("beats",), "0"), ((), "0.5")])
def test_what_is_not_watched_may_be_silent(words: tuple[str, ...], limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANG_TIMEOUT_S", limit)
    with supervised(*words) as service:
        time.sleep(1.5)
        assert service.answer() == service.pid
        service.process.terminate()
        assert service.end() == (7, "")


def test_one_signal_that_comes_twice_at_once_is_one() -> None:
    with supervised("waits", "doubled") as service:
        service.process.terminate()
        assert service.line() == "stops"
        service.process.terminate()
        assert service.answer() == service.pid
        service.process.send_signal(signal.SIGINT)
        assert service.end() == (128 + signal.SIGINT, "")


def test_a_process_whose_supervisor_takes_nothing_is_not_held_up() -> None:
    ours, theirs = socket.socketpair()
    lifeline = Lifeline(theirs, [])
    for _ in range(10_000):
        lifeline.beat()
    ours.close()
    theirs.close()


def test_only_serve_is_supervised_and_only_if_wanted() -> None:
    for arguments in (
        [],
        ["detect"],
        ["serve", "--no-supervise"],
        ["serve", "--ray"],
        ["serve", "-h"],
        ["serve", "--help"],
    ):
        assert supervise(arguments, {}) is None
    assert supervise(["serve"], {"YOLOSCOPE_SUPERVISE": "False"}) is None


def test_nothing_heavy_is_imported_before_the_serving_process_is_forked(tmp_path: Path) -> None:
    code = "import sys, yoloscope.app.cli; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"numpy", "torch", "onnxruntime", "pydantic", "fastapi", "uvicorn", "rich"} & set(run.stdout.split())
