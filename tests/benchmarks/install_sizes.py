"""Sizes of what an installation downloads and unpacks: python -m tests.benchmarks.install_sizes [REVISION ...].

pip resolves against its default index alone (a dry run that reads no configuration of this machine), with the
constraints of the revision; the sizes are those of the wheels and of the files that their directories list. Revisions
default to the working tree. ``--cpu-torch`` is a wheel of a CPU build of torch, for the rows where one is chosen.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

TAIL = 1 << 16
USES = {"serving": (), "serving on CUDA": ("cuda",), "training": ("train",), "everything": ("dev", "docs")}


@dataclass(frozen=True)
class Wheel:
    """A resolved wheel: bytes to download, bytes unpacked."""

    name: str
    download: int
    unpacked: int


def requirements(project: str, extras: Sequence[str]) -> list[str]:
    """The dependencies in the text of a pyproject.toml, with those of the extras that it has."""
    table = tomllib.loads(project)["project"]
    optional = table.get("optional-dependencies", {})
    return [*table["dependencies"], *(item for extra in extras for item in optional.get(extra, []))]


def resolve(wanted: Sequence[str], constraints: str) -> list[tuple[str, str]]:
    """(name, address) of every wheel that pip would install from its default index into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        pins, report = Path(folder, "constraints.txt"), Path(folder, "report.json")
        pins.write_text(constraints)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        if certificates := os.environ.get("PIP_CERT"):
            environment["PIP_CERT"] = certificates
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--only-binary", ":all:", "--constraint", str(pins), "--report", str(report), *wanted]
        subprocess.run(command, env=environment, check=True)
        found = json.loads(report.read_text())["install"]
    return [(item["metadata"]["name"], item["download_info"]["url"]) for item in found]


def measure(client: httpx.Client, name: str, url: str) -> Wheel:
    """The sizes of a wheel from its directory, which lies at its end."""
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        with zipfile.ZipFile(path) as wheel:
            return Wheel(name, path.stat().st_size, sum(item.file_size for item in wheel.infolist()))
    tail = client.get(url, headers={"range": f"bytes=-{TAIL}"}).raise_for_status()
    size = int(tail.headers["content-range"].rpartition("/")[2])
    end = tail.content.rindex(b"PK\5\6")
    count = struct.unpack_from("<I", tail.content, end + 12)[0] + len(tail.content) - end
    directory = client.get(url, headers={"range": f"bytes=-{count}"}).raise_for_status()
    with zipfile.ZipFile(BytesIO(directory.content)) as wheel:
        return Wheel(name, size, sum(item.file_size for item in wheel.infolist()))


def git_text(revision: str | None, path: str) -> str:
    if revision is None:
        return Path(path).read_text()
    return subprocess.run(["git", "show", f"{revision}:{path}"], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Print what installations download and unpack.")
    parser.add_argument("revisions", nargs="*", help="git revisions to compare (default: the working tree)")
    parser.add_argument("--cpu-torch", type=Path, help="a wheel of a CPU build of torch")
    parser.add_argument("--largest", type=int, default=4, help="packages named in each row (default 4)")
    arguments = parser.parse_args()
    known: dict[str, Wheel] = {}
    print(f"{'revision':10} {'for':26} {'wheels':>6} {'download':>9} {'unpacked':>9}  largest (MB)")
    with httpx.Client(follow_redirects=True, timeout=60) as client, ThreadPoolExecutor(8) as pool:
        for revision in arguments.revisions or [None]:
            project, constraints = git_text(revision, "pyproject.toml"), git_text(revision, "constraints.txt")
            for use, extras in USES.items():
                for cpu_torch in (None, arguments.cpu_torch) if arguments.cpu_torch else (None,):
                    wanted = requirements(project, extras) + ([str(cpu_torch)] if cpu_torch else [])
                    found = resolve(wanted, constraints)
                    new = [(name, url) for name, url in found if url not in known]
                    for (_, url), wheel in zip(new, pool.map(lambda pair: measure(client, *pair), new), strict=True):
                        known[url] = wheel
                    wheels = sorted((known[url] for _, url in found), key=lambda wheel: -wheel.download)
                    download, unpacked = sum(w.download for w in wheels), sum(w.unpacked for w in wheels)
                    largest = ", ".join(f"{w.name} {w.download / 1e6:.0f}" for w in wheels[: arguments.largest])
                    row = f"{revision or 'here':10} {use}{', CPU torch' if cpu_torch else ''}"
                    print(
                        f"{row:37} {len(wheels):6} {download / 1e6:9.0f} {unpacked / 1e6:9.0f}  {largest}", flush=True
                    )


if __name__ == "__main__":
    main()
