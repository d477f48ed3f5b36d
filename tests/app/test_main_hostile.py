"""Hostile images and requests get statuses, in bounded memory."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.attacks import Attack, attacks, natural
from tests.app.client import Client
from tests.helpers.hostile_images import hostile_images
from yoloscope.app.main import create_app
from yoloscope.app.schemas.problem import Problem
from yoloscope.app.settings import Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    # starlette leaves the temporary file of an unfinished part to the garbage collector, which closes it
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STATUSES = {200, 400, 404, 406, 408, 413, 415, 422, 503}


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.fixture(scope="module")
def default_limits(models_dir: Path) -> Iterator[Client]:
    with Client(create_app(Settings(models_dir=models_dir, model="tiny", provider="cpu", threads=1))) as client:
        yield client


def test_hostile_requests_get_documented_answers_in_bounded_memory(default_limits: Client) -> None:
    all_attacks = attacks()
    assert len(all_attacks) >= 300
    durations: list[tuple[float, str]] = []
    wrong: list[str] = []
    send(default_limits, Attack("warm up", natural("PNG")))
    before = resident_bytes()
    for attack in all_attacks:
        start = time.perf_counter()
        response = send(default_limits, attack)
        durations.append((time.perf_counter() - start, attack.name))
        if response.status_code not in STATUSES:
            wrong.append(f"{attack.name}: {response.status_code}")
        elif response.status_code != 200:
            Problem.model_validate_json(response.content)
    growth = resident_bytes() - before
    slowest = ", ".join(f"{name} {seconds * 1e3:.0f} ms" for seconds, name in sorted(durations, reverse=True)[:3])
    sys.stdout.write(
        f"{len(all_attacks)} hostile requests, resident memory {growth / 1e6:+.0f} MB, slowest: {slowest}\n"
    )
    assert not wrong
    assert growth < 64 * 1024 * 1024


def test_images_that_cost_more_than_their_pixels_get_documented_answers(default_limits: Client) -> None:
    answers = {
        name: send(default_limits, Attack(name, data)).status_code
        for name, data in hostile_images(60)
        if "damaged" not in name
    }
    refused = {"JPEG arithmetic scans", "PNG too large"}
    assert {name: answers[name] for name in refused} == dict.fromkeys(refused, 413)
    read = {"PNG text", "PNG pixels", "PNG frames", "GIF frames", "WEBP frames", "TIFF lzw"}
    assert {name: answers[name] for name in read} == dict.fromkeys(read, 200)
    assert set(answers.values()) <= {200, 413, 422}


def send(client: Client, attack: Attack) -> Any:
    headers = {name: value.encode() for name, value in attack.headers.items()}
    return client.post(f"/v1/detect{attack.query}", content=attack.content, headers=headers)
