"""Objects that count less than others: what MixUp leaves of each."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from training.losses.ledger import HeadLedger


def weigh_objects(ledger: HeadLedger, weights: Tensor) -> HeadLedger:
    """Return the ledger with every cost of an object multiplied by its weight, ``weights`` float [N].

    A predictor that serves several objects pays its common costs at their mean weight. What predictors without an
    object cost does not change. Source: Zhang et al., Bag of Freebies for Training Object Detection Neural Networks,
    2019, section 3.1 (the weighted loss of mixed pictures).
    """
    of_match = weights.to(ledger.iou)[ledger.matches.objects]
    slots = ledger.slots
    total = torch.zeros(len(slots), dtype=of_match.dtype, device=of_match.device)
    of_slot = total.index_add(0, slots.of_match, of_match) / slots.counts.clamp(min=1)
    return replace(
        ledger,
        by_match={name: costs * of_match for name, costs in ledger.by_match.items()},
        by_slot={name: costs * of_slot for name, costs in ledger.by_slot.items()},
        parts={name: costs * of_match for name, costs in ledger.parts.items()},
    )
