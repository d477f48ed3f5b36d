"""The supervisor of the service, over a small process that answers connections with its process id."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from yoloscope.app.supervisor import supervise

PROCESS = """
import os, select, signal, socket, sys
from yoloscope.app import supervisor

supervisor.PAUSES_S = (0, 0)
status = supervisor.supervise(["serve"], {})
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
