"""Supervisor of the service: starts the serving process again when it dies, and keeps its listening sockets open.

Connections that arrive meanwhile wait in the sockets' backlog. The serving process is forked before anything heavy is
imported, so that the supervisor stays small; only the standard library is used here.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before each start after a death in a row; after one more death the supervisor gives up."""
STEADY_S: Final = 60.0
"""A serving process that lived for so long ends a row of deaths."""
HANG_TIMEOUT_S: Final = 60.0
"""Without a sign of life for so long, a serving process is ended: the default of YOLOSCOPE_HANG_TIMEOUT_S."""
SAME_SIGNAL_S = 0.1
"""Equal signals within this time are one: what stops a process and then its group (``timeout``) sends two."""
_TICK_S = 1.0
"""Between two looks at the serving process."""
_KILLED_AFTER_S: Final = 3.0
"""From the second stopping signal, or the end of a process that hangs, to SIGKILL."""
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_HANDLED: Final = (*_STOPPING, signal.SIGCHLD, signal.SIGALRM)
_MOST_SOCKETS: Final = 16
_LISTENING: Final = b"L"
_LEAVING: Final = b"S"
_ALIVE: Final = b"A"
_OFF: Final = frozenset({"0", "false", "f", "no", "n", "off"})


class Lifeline:
    """The serving process's end of the channel to its supervisor; the other end closes when the supervisor dies."""

    def __init__(self, channel: socket.socket, descriptors: Sequence[int]) -> None:
        self._channel = channel
        self._descriptors = list(descriptors)

    def fileno(self) -> int:
        """Return the descriptor that is readable once the supervisor is gone."""
        return self._channel.fileno()

    def sockets(self) -> list[socket.socket] | None:
        """Return the sockets that the process of before listened on, None on the first start."""
        return [socket.socket(fileno=descriptor) for descriptor in self._descriptors] or None

    def keep(self, descriptors: Sequence[int]) -> None:
        """Give the supervisor the sockets that this process listens on, for the next one."""
        with suppress(OSError):
            socket.send_fds(self._channel, [_LISTENING], list(descriptors)[:_MOST_SOCKETS])

    def beat(self) -> None:
        """Tell the supervisor that this process is alive, which it has to hear again and again from then on."""
        with suppress(OSError):  # one that reads nothing must not stop this process
            self._channel.send(_ALIVE, socket.MSG_DONTWAIT)

    def leave(self) -> None:
        """Tell the supervisor that this process stops because it was asked to, and is not to be started again."""
        with suppress(OSError):
            self._channel.send(_LEAVING)


class Supervisor:
    """Forks the serving process and waits for its end; ``lifeline`` is set in the serving process alone."""

    lifeline: Lifeline | None = None

    def __init__(self, hang_timeout_s: float = HANG_TIMEOUT_S) -> None:
        self._hang_timeout_s = hang_timeout_s
        self._channel: socket.socket | None = None
        self._descriptors: list[int] = []
        self._has_listened = False
        self._pid = 0
        self._status: int | None = None
        self._signals: list[int] = []
        self._signaled_at = 0.0
        self._leaving = False
        self._original = {number: signal.getsignal(number) or signal.SIG_DFL for number in _HANDLED}

    def run(self) -> int | None:
        """Return None in each serving process, and in the supervisor the exit status of the last one."""
        deaths = 0
        while True:
            began = time.monotonic()
            if self._fork():
                return None
            status = self._watch()
            if self._ends_with(status):
                if os.WIFSIGNALED(status) and not self._signals:
                    say("CRITICAL", f"the serving process {self._pid} {_end_of(status)}")
                return self._exit_status(status)
            lived_s = time.monotonic() - began
            deaths = 1 if lived_s >= STEADY_S else deaths + 1
            words = f"the serving process {self._pid} {_end_of(status)} after {lived_s:.0f} s"
            if deaths > len(PAUSES_S):
                say("CRITICAL", f"{words}, {deaths} deaths in a row: it is not started again")
                return self._exit_status(status)
            pause_s = PAUSES_S[deaths - 1]
            say("ERROR", f"{words}; it is started again{f' in {pause_s:g} s' if pause_s else ''}, connections wait")
            if self._stopped_within(pause_s):
                return 0

    def _fork(self) -> bool:
        """Start a serving process; return True in it. Signals that come meanwhile are handled afterwards."""
        ours, theirs = socket.socketpair()
        self._status = None
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            for number, handler in self._original.items():
                signal.signal(number, handler)
            Supervisor.lifeline = Lifeline(theirs, self._descriptors)
        else:
            theirs.close()
            self._channel = ours
            handlers: Mapping[int, Callable[[int, FrameType | None], None]] = {
                **dict.fromkeys(_STOPPING, self._on_stop),
                signal.SIGCHLD: self._on_child,
                signal.SIGALRM: self._on_alarm,
            }
            for handled, handle in handlers.items():
                signal.signal(handled, handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        return self._pid == 0

    def _watch(self) -> int:
        """Take messages of the serving process until it is dead; return its wait status."""
        assert self._channel is not None
        self._channel.settimeout(_TICK_S)
        hang: _Hang | None = None
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, 1, _MOST_SOCKETS)
            except TimeoutError:
                if hang is not None and not self._signals and not self._leaving:
                    self._end_hung(hang)
                continue
            except OSError:
                break
            if message == _ALIVE:
                hang = _Hang(self._pid)
            elif message == _LISTENING:
                self._has_listened = True
                self._descriptors += descriptors
                if self._signals:
                    self._close_sockets()
            elif message == _LEAVING:
                self._leaving = True
                self._close_sockets()
            else:
                break
        self._channel.close()
        with suppress(ChildProcessError):  # the handler of SIGCHLD was first
            _, self._status = os.waitpid(self._pid, 0)
        assert self._status is not None
        return self._status

    def _end_hung(self, hang: _Hang) -> None:
        """End a serving process that has hung for too long: by SIGABRT, at which Python writes where it is."""
        if 0 < self._hang_timeout_s <= hang.seconds(_TICK_S):
            if not hang.ended:
                say("CRITICAL", f"the serving process {self._pid} hangs: no sign of life for {hang.counted_s:g} s")
                self._send(signal.SIGABRT)
            elif hang.counted_s >= self._hang_timeout_s + _KILLED_AFTER_S:
                self._send(signal.SIGKILL)
            hang.ended = True

    def _ends_with(self, status: int) -> bool:
        """Whether the end of the serving process is that of the service: it was wanted, or it never came to listen."""
        return bool(self._signals) or self._leaving or not self._has_listened or status == 0

    def _exit_status(self, status: int) -> int:
        """Return the exit status for a wait status, as shells count; after a second signal that one decides."""
        code = os.waitstatus_to_exitcode(status)
        if code and len(self._signals) > 1:
            return 128 + self._signals[1]
        return code if code >= 0 else 128 - code

    def _stopped_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self._signals and time.monotonic() < until:
            time.sleep(0.05)
        return bool(self._signals)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        """Pass the first signal on; at a second one have the serving process end at once."""
        if number in self._signals[-1:] and time.monotonic() - self._signaled_at < SAME_SIGNAL_S:
            return
        self._signaled_at = time.monotonic()
        self._signals.append(number)
        self._close_sockets()
        if len(self._signals) == 1:
            self._send(number)
        else:
            self._send(signal.SIGQUIT)
            signal.setitimer(signal.ITIMER_REAL, _KILLED_AFTER_S)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        self._send(signal.SIGKILL)

    def _on_child(self, _number: int, _frame: FrameType | None) -> None:
        """Reap what ended: as the first process of a container also what others left behind."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid == self._pid:
                    self._status = status

    def _send(self, number: int) -> None:
        if self._pid and self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _close_sockets(self) -> None:
        """Leave the sockets to the serving process alone, so that nobody listens once it does not."""
        while self._descriptors:
            os.close(self._descriptors.pop())


class _Hang:
    """The seconds that a process has hung: those in which it could run, and gave no sign of life.

    Not counted are those in which it was stopped or held by a debugger, or waited for memory from the disk; of those in
    which this process could not run either (the machine suspended, the container paused), one tick at most.
    """

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/task/{pid}/stat")
        self._faults = -1
        self.counted_s = 0.0
        self.ended = False

    def seconds(self, tick_s: float) -> float:
        """Count a tick without a sign of life, and return the seconds so far."""
        state, faults = self._look()
        if state not in {"T", "t"} and faults == self._faults:
            self.counted_s += tick_s
        self._faults = faults
        return self.counted_s

    def _look(self) -> tuple[str, int]:
        """Return the state of its main thread and for how many pages that has waited; outside of Linux nothing."""
        try:
            fields = self._stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return "", self._faults
        return fields[0], int(fields[9])


def supervise(arguments: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Return None where the command goes on in this process, else the exit status of a service that was supervised.

    Supervised is ``serve`` without ``--no-supervise`` or ``YOLOSCOPE_SUPERVISE=0``, where processes can be forked; Ray
    starts its replicas again itself.
    """
    off = environment.get("YOLOSCOPE_SUPERVISE", "").lower() in _OFF
    wanted = ("--supervise" in arguments or not off) and not {"--no-supervise", "--ray", "--help", "-h"} & set(
        arguments
    )
    if arguments[:1] != ["serve"] or not wanted or not hasattr(os, "fork"):
        return None
    return Supervisor(_seconds(environment.get("YOLOSCOPE_HANG_TIMEOUT_S", ""))).run()


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # none, or a wrong one, with which the serving process does not start
        return HANG_TIMEOUT_S


def say(level: str, text: str) -> None:
    """Write a line of log as the service does."""
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03d}"
    with suppress(OSError):
        os.write(2, f"{stamp} {level} [-] {text}\n".encode())


def _end_of(status: int) -> str:
    """Return in words how a process ended."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (as the system does when memory runs out)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
