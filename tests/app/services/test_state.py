"""Threads that work on requests, and how long those may wait for them."""

import asyncio
import gc
from contextvars import Context
from threading import Event
from time import sleep

import pytest

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.services.batcher import Batcher
from yoloscope.app.services.state import Services, ThreadPool
from yoloscope.app.settings import Settings
from yoloscope.models.errors import DeadlineError


def test_a_pool_gives_results_and_errors() -> None:
    async def scenario() -> int:
        pool = ThreadPool("test", 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)
        result = await pool.run(pow, 2, 5)
        pool.close()
        return result

    assert asyncio.run(scenario()) == 32


def test_queued_work_that_is_canceled_never_begins() -> None:
    async def scenario() -> list[str]:
        pool, release, ran = ThreadPool("test", 1), Event(), list[str]()
        first = asyncio.create_task(pool.run(release.wait, 10))
        queued = [asyncio.create_task(pool.run(ran.append, name)) for name in ("dropped", "kept")]
        await asyncio.sleep(0.05)
        queued[0].cancel()
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, queued[1])
        pool.close()
        return ran

    assert asyncio.run(scenario()) == ["kept"]


def test_an_error_that_comes_after_its_request_was_canceled_is_not_reported(settings: Settings) -> None:
    """As that of a second bad image, which is decoded while the first one is refused."""
    reported = list[dict[str, object]]()

    async def scenario(services: Services) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        pool, free, begun, release = ThreadPool("test", 1), Event(), Event(), Event()

        def fails() -> None:
            begun.set()
            release.wait(10)
            raise ZeroDivisionError

        async def asks() -> None:
            with services.patience():
                await pool.run(fails)

        before, asking = asyncio.create_task(pool.run(free.wait, 10)), asyncio.create_task(asks())
        await asyncio.sleep(0.05)
        free.set()
        await asyncio.to_thread(begun.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        release.set()
        await before
        await pool.run(int)
        await asyncio.sleep(0.01)
        del asking
        gc.collect()
        pool.close()

    asyncio.run(scenario(Services(settings)))
    assert reported == []


def test_queued_work_has_a_deadline_but_not_what_has_begun(settings: Settings) -> None:
    async def scenario(services: Services) -> list[str]:
        release, ran = Event(), list[str]()

        def begun() -> None:
            release.wait(10)
            ran.append("begun")

        async def waits() -> None:
            with services.admit(1):
                await services.inference.run(ran.append, "queued")

        async def runs() -> None:
            with services.admit(1):
                await services.inference.run(begun)

        first = asyncio.create_task(runs())
        await asyncio.sleep(0)
        with pytest.raises(DeadlineError, match=r"expected a free thread within 0\.2 s"):
            await waits()
        release.set()
        await first
        assert services.limiter.held == 0
        services.close()
        return ran

    services = Services(settings.model_copy(update={"queue_timeout_s": 0.2}))
    assert asyncio.run(scenario(services)) == ["begun"]


def test_a_long_request_is_not_over_its_deadline_by_its_own_work(settings: Settings) -> None:
    async def scenario(services: Services) -> int:
        with services.admit(4):
            for _ in range(4):
                await services.inference.run(Event().wait, 0.1)
        services.close()
        return 4

    assert asyncio.run(scenario(Services(settings.model_copy(update={"queue_timeout_s": 0.2})))) == 4


def test_a_request_has_one_deadline_for_all_its_waits(settings: Settings) -> None:
    async def scenario(services: Services) -> None:
        async def occupy(pool: ThreadPool | Batcher, seconds: float) -> asyncio.Task[None]:
            task = asyncio.create_task(pool.run(sleep, seconds), context=Context())  # of another request
            await asyncio.sleep(0.01)
            return task

        with services.patience():
            held = [await occupy(services.inference, 0.3)]
            with services.patience():
                await services.inference.run(int)
            held.append(await occupy(services.decoding, 0.3))
            with pytest.raises(DeadlineError):
                await services.decoding.run(int)
        with services.patience():
            await services.decoding.run(int)
        await asyncio.gather(*held)
        services.close()

    asyncio.run(scenario(Services(settings.model_copy(update={"queue_timeout_s": 0.5}))))


def test_a_request_over_its_deadline_is_told_so(settings: Settings, gray_png: bytes) -> None:
    with Client(create_app(settings.model_copy(update={"queue_timeout_s": 0.1}))) as client:
        services: Services = client.app.state.services
        release = Event()
        client.runner.run(_occupy(services, release))
        response = client.post("/v1/detect", content=gray_png)
        release.set()
        assert (response.status_code, response.json()["type"]) == (504, "urn:yoloscope:problem:deadline")
        assert response.headers["retry-after"] == "1"
        assert client.post("/v1/detect", content=gray_png).status_code == 200


async def _occupy(services: Services, release: Event) -> None:
    asyncio.get_running_loop().create_task(services.inference.run(release.wait, 10))
    await asyncio.sleep(0.01)


def test_a_request_of_one_image_waits_for_one_of_a_long_request(settings: Settings, gray_png: bytes) -> None:
    async def order(client: Client) -> list[str]:
        finished: list[str] = []

        async def send(name: str, count: int) -> None:
            response = await client.http.post("/v1/detect", files=[("image", ("a", gray_png))] * count)
            assert response.status_code == 200
            finished.append(name)

        services: Services = client.app.state.services
        release = Event()
        await _occupy(services, release)
        long = asyncio.create_task(send("32 images", 32))
        while services.limiter.held < 32:
            await asyncio.sleep(0.005)
        short = asyncio.create_task(send("1 image", 1))
        while services.limiter.held < 33:
            await asyncio.sleep(0.005)
        release.set()
        await asyncio.gather(long, short)
        return finished

    roomy = settings.model_copy(update={"max_images": 32, "queue_limit": 64})
    with Client(create_app(roomy)) as client:
        assert client.runner.run(order(client)) == ["1 image", "32 images"]
