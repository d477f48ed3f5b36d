"""Models swapped, corrupted and repaired under load: does a request fail, and does the old model serve on?"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import onnx

from tests.benchmarks.report import heading
from tests.reliability.load import Answer, Request, closed_loop, p99_ms, photo, statuses
from tests.reliability.service import Service, running
from yoloscope.app.services.model_store import BUILTIN, artifact_path


def main() -> None:
    parser = argparse.ArgumentParser(description="Swap the model of a service under load.")
    parser.add_argument("--seconds", type=float, default=24, help="of load (default 24)")
    parser.add_argument("--connections", type=int, default=4, help="(default 4)")
    arguments = parser.parse_args()
    print(heading(f"Model swaps under load: {arguments.connections} connections", "onnxruntime-gpu"))
    with running() as service:
        versions = _versions(service.folder)
        _place(versions[0], service.folder / "swapped.onnx")
        wrong = asyncio.run(measure(service, versions, arguments.seconds, arguments.connections))
    sys.exit(bool(wrong))


def _versions(folder: Path) -> tuple[Path, Path, Path]:
    """Return two artifacts that differ in a note alone, and a file that is none."""
    first, second, broken = (folder / f".{name}" for name in ("first", "second", "broken"))
    shutil.copyfile(artifact_path(BUILTIN, folder), first)
    model = onnx.load(first)
    model.doc_string = "the same once more"
    onnx.save(model, second)
    broken.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    return first, second, broken


def _place(source: Path, target: Path) -> None:
    """Replace a file at once, as one deploys a model: write beside and rename."""
    beside = target.with_name(".beside")
    shutil.copyfile(source, beside)
    beside.replace(target)


async def measure(service: Service, versions: tuple[Path, Path, Path], seconds: float, connections: int) -> int:
    """Swap, corrupt and repair in turns under load; return how many requests failed, and 1 for a swap that was not."""
    request = Request.post(service.url, "/v1/detect?model=swapped", photo(320, 240))
    await closed_loop([request], 1, 0.5)
    load = asyncio.create_task(closed_loop([request], connections, seconds))
    first, second, broken = versions
    for source in (second, broken, first, broken, second, first):
        await asyncio.sleep(seconds / 8)
        _place(source, service.folder / "swapped.onnx")
        what = "corrupt" if source is broken else f"good ({source.name[1:]})"
        print(f"{time.strftime('%X')} a {what} file is put in its place")
    answers = await load
    failed = sum(answer.status != 200 for answer in answers)
    served = Counter(_version(answer) for answer in answers if answer.status == 200)
    print(f"{statuses(answers)}, p99 {p99_ms(answers):.0f} ms; answers by version {dict(served)}")
    refused = [line.strip() for line in service.log if "cannot be served" in line]
    print("\n".join(refused))
    print(f"failed requests: {failed}; versions that served: {len(served)} of 2; corrupt files refused: {len(refused)}")
    return failed + (len(served) != 2) + (len(refused) != 2)


def _version(answer: Answer) -> str:
    return str(json.loads(answer.body)["version"])


if __name__ == "__main__":
    main()
