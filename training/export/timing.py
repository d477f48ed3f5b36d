"""Times taken in turns, so that what else the machine does falls on all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from training.export.onnx import NETWORK_INPUT
from training.export.session import open_session

_ROUNDS: Final = 15


def times_in_turns_ms(runs: Sequence[Callable[[], object]], rounds: int) -> NDArray[np.float64]:
    """Return the milliseconds [rounds, runs] of calling each in turn, after two rounds that do not count."""
    measured = np.zeros((rounds + 2, len(runs)))
    for row in measured:
        for column, run in enumerate(runs):
            start = time.perf_counter()
            run()
            row[column] = (time.perf_counter() - start) * 1e3
    return measured[2:]


def relative_time(network: onnx.ModelProto, reference: onnx.ModelProto, picture: NDArray[np.float32]) -> float:
    """Return the time of one network as a multiple of another's, on one thread: least of 15 runs by least of 15."""
    sessions = [open_session(one, threads=1) for one in (network, reference)]
    feeds = {NETWORK_INPUT: picture}
    runs = [lambda session=session: session.run(None, feeds) for session in sessions]
    fastest = times_in_turns_ms(runs, _ROUNDS).min(axis=0)
    return float(fastest[0] / fastest[1])
