"""The load generator against a service of which every answer is known."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from yoloscope.app import load_generator
from yoloscope.app.load_generator import Load, LoadResult, Target, measure

OK = json.dumps({"results": [{}]}).encode()
Answer = Callable[[], Awaitable[tuple[int, bytes] | None]]


def load_of(answer: Answer, load: Load, duration_s: float, **target: object) -> LoadResult:
    """Serve a POST by what ``answer`` returns, None closing the connection, and put a load on it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
                said = await answer()
                if said is None:
                    break
                status, body = said
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def run() -> LoadResult:
        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await measure(Target(f"http://127.0.0.1:{port}/", [b"image"], **target), load, duration_s)  # type: ignore[arg-type]

    return asyncio.run(run())


def test_connections_of_a_closed_loop_wait_for_their_answers() -> None:
    at_work, most, served = 0, 0, 0

    async def answer() -> tuple[int, bytes]:
        nonlocal at_work, most, served
        at_work += 1
        most, served = max(most, at_work), served + 1
        await asyncio.sleep(0.02)
        at_work -= 1
        return 200, OK

    result = load_of(answer, Load(connections=3), 0.3)
    assert most == 3
    assert len(result.latencies_s) == served
    assert min(result.latencies_s) >= 0.02
    assert result.in_time <= 3 * 0.3 / 0.02
    assert result.throughput == len(result.latencies_s) / result.elapsed_s
    assert result.elapsed_s >= 0.3
    assert not result.errors


def test_latency_of_an_open_loop_counts_from_when_a_request_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generator, "most_connections", lambda: 1)

    async def answer() -> tuple[int, bytes]:
        await asyncio.sleep(0.05)
        return 200, OK

    result = load_of(answer, Load(rate=100), 0.1)
    assert len(result.latencies_s) == 10
    assert result.throughput == result.in_time / 0.1
    for number, latency_s in enumerate(result.latencies_s):
        assert latency_s >= 0.05 * (number + 1) - 0.01 * number - 1e-3


def test_what_is_no_answer_is_counted_by_its_kind() -> None:
    async def slow() -> tuple[int, bytes]:
        await asyncio.sleep(9)
        raise AssertionError

    said: Iterator[tuple[int, bytes] | None] = iter([(200, OK), (503, b"busy"), (503, b"busy"), (200, b"<html>"), None])

    async def answer() -> tuple[int, bytes] | None:
        return next(said)

    result = load_of(answer, Load(rate=50), 0.1, is_answer=lambda body: body == OK)
    assert len(result.latencies_s) == 1
    assert result.errors == {"503": 2, "no valid answer": 1, "no connection": 1}
    assert load_of(slow, Load(connections=2), 0.05, timeout_s=0.1).errors == {"timeout": 2}


def test_percentiles_are_latencies_that_were_measured() -> None:
    result = LoadResult(Load(connections=1), 1.0, [0.004, 0.001, 0.003, 0.002])
    assert [result.percentile_ms(percent) for percent in (25, 50, 51, 99, 100)] == [1, 2, 3, 4, 4]
    assert LoadResult(Load(rate=1), 1.0).percentile_ms(50) is None
