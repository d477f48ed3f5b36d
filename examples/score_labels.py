"""Rank the labels of one image by loss: ``python examples/score_labels.py http://127.0.0.1:8000 IMAGE LABELS``."""

import sys
from pathlib import Path

import httpx


def main(url: str, image: str, labels: str) -> None:
    """List the objects of a label file, the most expensive first, and the detections that no label explains."""
    files = {name: (Path(path).name, Path(path).read_bytes()) for name, path in (("image", image), ("labels", labels))}
    response = httpx.post(f"{url}/v1/score", files=files, timeout=60)
    response.raise_for_status()
    (result,) = response.json()["results"]
    for entry in sorted(result["by_object"], key=lambda entry: entry["rank"]):
        flags = ", ".join(entry["flags"])
        sys.stdout.write(f"{entry['total']:8.2f}  {entry['class_name']} (label {entry['index']}) {flags}\n")
    for entry in result["unexplained"]:
        sys.stdout.write(f"no label explains a {entry['class_name']} of score {entry['score']:.2f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
