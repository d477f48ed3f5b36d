"""Detect objects in images over REST: ``python examples/detect_over_rest.py http://127.0.0.1:8000 IMAGE ...``."""

import sys
from pathlib import Path

import httpx


def main(url: str, *paths: str) -> None:
    """Send the images in one request and list what was found in each."""
    files = [("image", (Path(path).name, Path(path).read_bytes())) for path in paths]
    response = httpx.post(f"{url}/v1/detect", files=files, params={"score_threshold": 0.5}, timeout=60)
    response.raise_for_status()
    for path, result in zip(paths, response.json()["results"], strict=True):
        for found in result["detections"]:
            box = " ".join(f"{found['box'][corner]:.0f}" for corner in ("x1", "y1", "x2", "y2"))
            sys.stdout.write(f"{path}: {found['class_name']} {found['score']:.2f} at {box}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
