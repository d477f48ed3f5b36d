"""A loss that is not finite is an error that says where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.errors import NonFiniteLossError
from training.losses.ledger import TERMS, HeadLedger


def require_finite(total: Tensor, ledgers: Sequence[HeadLedger], cube: Tensor) -> None:
    """Raise NonFiniteLossError, naming picture, object and term, unless the total is finite.

    ``cube`` float [H, T, B] are the costs by head, term and picture; it is looked at only after the total failed.
    """
    if bool(torch.isfinite(total.detach())):
        return
    bad = (~torch.isfinite(cube.detach())).nonzero()
    if not len(bad):
        raise NonFiniteLossError(f"the sum of finite costs is {float(total.detach())}")
    head, term, image = bad[0].tolist()
    value = float(cube.detach()[head, term, image])
    raise NonFiniteLossError(
        f"image {image}, {_where(ledgers[head], TERMS[term], image)}: term {TERMS[term]!r} of head {head} is {value}"
    )


def _where(ledger: HeadLedger, term: str, image: int) -> str:
    matches, slots = ledger.matches, ledger.slots
    if term in ledger.by_match:
        costs, images, objects = ledger.by_match[term], matches.images, matches.objects
    elif term in ledger.by_slot:
        costs, images, objects = ledger.by_slot[term], slots.images, matches.objects[slots.first]
    else:
        where = (~torch.isfinite(ledger.by_predictor[term][image])).nonzero()
        anchor, row, column = where[0].tolist()
        return f"no object (cell column {column}, row {row}, anchor {anchor})"
    which = ((~torch.isfinite(costs)) & (images == image)).nonzero()
    return f"object {int(objects[which[0, 0]])}"
