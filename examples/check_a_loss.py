"""Check a loss of one's own against the service's: ``python examples/check_a_loss.py http://127.0.0.1:8000``.

The loss here is the preset article-mse (docs/losses.md), mean squared errors on a grid, written in plain torch.
"""

import sys

import httpx
import torch
from torch.nn import functional

SIDE, NAMES = 4, ("cat", "dog", "bird")
BOX = {"cx": 0.4, "cy": 0.6, "w": 0.3, "h": 0.5}


def own_loss(head: torch.Tensor) -> torch.Tensor:
    """Return the loss of a raw head [1, cells * (classes + 5)]: class scores, then confidences, then boxes."""
    cells = SIDE * SIDE
    classes, confidence, boxes = head[0].split([cells * len(NAMES), cells, cells * 4])
    classes, boxes = classes.view(cells, -1), boxes.view(cells, 4)
    column, row = int(BOX["cx"] * SIDE), int(BOX["cy"] * SIDE)
    own = row * SIDE + column
    target = torch.zeros(cells, 4)
    target[own] = torch.tensor([BOX["cx"] * SIDE - column, BOX["cy"] * SIDE - row, BOX["w"] * SIDE, BOX["h"] * SIDE])
    has_object, is_dog = torch.zeros(cells), torch.zeros(cells, len(NAMES))
    has_object[own], is_dog[own, 1] = 1, 1
    parts = ((boxes, target), (confidence, has_object), (classes, is_dog))
    return torch.stack([functional.mse_loss(predicted, wanted) for predicted, wanted in parts]).sum()


def main(url: str) -> float:
    """Compare loss and gradient with those of the service; return the largest difference."""
    head = torch.randn(1, SIDE * SIDE * (len(NAMES) + 5), requires_grad=True)
    loss = own_loss(head)
    (gradient,) = torch.autograd.grad(loss, head)
    grid = {"kind": "detection", "grid_width": SIDE, "grid_height": SIDE, "boxes_per_cell": 1}
    request = {
        "spec": {"class_names": NAMES, "input_width": 64 * SIDE, "input_height": 64 * SIDE, "heads": [grid]},
        "heads": [head.tolist()],
        "labels": [[{"class_name": "dog", "box": BOX}]],
        "preset": "article-mse",
        "detail": "cells",
    }
    answer = httpx.post(f"{url}/v1/losses", json=request, timeout=60).raise_for_status().json()
    theirs = torch.tensor(answer["by_scale"][0]["gradient"])
    sys.stdout.write(f"own {float(loss.detach()):.6f}, the service's {answer['total']:.6f}\n")
    difference = max(abs(float(loss.detach()) - answer["total"]), float((gradient - theirs).abs().max()))
    sys.stdout.write(f"largest difference of loss and gradient: {difference:.1e}\n")
    return difference


if __name__ == "__main__":
    main(sys.argv[1])
