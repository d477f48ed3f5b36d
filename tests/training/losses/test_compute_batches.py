"""Normalization: an image's loss is the same alone and in any batch, over accumulation steps and over ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests.training.losses.cases import random_batch, random_truth, spec_v4
from yoloscope.models.structures import GroundTruth
from yoloscope.training.losses import PRESETS, compute_loss

PER_IMAGE = [name for name in PRESETS if not name.startswith("article")]


def part_of(truth: GroundTruth, first: int, last: int) -> GroundTruth:
    keep = (truth.image_index >= first) & (truth.image_index < last)
    return GroundTruth(
        truth.boxes_cxcywh_norm[keep], truth.class_ids[keep], truth.image_index[keep] - first, last - first
    )


@pytest.mark.parametrize("preset", PER_IMAGE)
def test_an_image_costs_the_same_alone_and_in_any_batch(preset: str) -> None:
    batch = random_batch(preset, 6, batch_size=4)
    together = compute_loss(batch.heads, batch.truth, batch.spec, preset)
    for image in range(4):
        heads = [head[image : image + 1] for head in batch.heads]
        alone = compute_loss(heads, part_of(batch.truth, image, image + 1), batch.spec, preset)
        assert alone.total.item() == pytest.approx(together.image_losses[image].item(), rel=1e-12)
        assert together.by_image.total[image].item() == pytest.approx(alone.total.item() / 4, rel=1e-12)


@pytest.mark.parametrize("preset", PER_IMAGE)
@pytest.mark.parametrize("parts", [((0, 4), (4, 8)), ((0, 2), (2, 4), (4, 6), (6, 8))])
def test_eight_is_two_times_four_accumulated(preset: str, parts: tuple[tuple[int, int], ...]) -> None:
    batch = random_batch(preset, 6, batch_size=8, most=3)
    torch.autograd.backward(compute_loss(batch.heads, batch.truth, batch.spec, preset).total)
    whole = [head.grad.clone() for head in batch.heads if head.grad is not None]
    for head in batch.heads:
        head.grad = None
    for first, last in parts:
        heads = [head[first:last] for head in batch.heads]
        report = compute_loss(heads, part_of(batch.truth, first, last), batch.spec, preset)
        torch.autograd.backward(report.total / len(parts))
    for head, expected in zip(batch.heads, whole, strict=True):
        torch.testing.assert_close(head.grad, expected, rtol=1e-12, atol=1e-14)


def test_unequal_parts_need_the_divisor_of_the_whole() -> None:
    batch = random_batch("v4", 6, batch_size=8)
    whole = compute_loss(batch.heads, batch.truth, batch.spec, "v4").total.item()
    totals = [
        compute_loss([h[a:b] for h in batch.heads], part_of(batch.truth, a, b), batch.spec, "v4", divisor=8.0).total
        for a, b in ((0, 5), (5, 8))
    ]
    assert sum(total.item() for total in totals) == pytest.approx(whole, rel=1e-12)


class _Network(nn.Module):
    """One 1x1 convolution per head: enough to see gradients averaged over ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = spec_v4()
        torch.manual_seed(5)
        channels = [self.spec.head_shape(i, 1)[1] for i in range(2)]
        self.convs = nn.ModuleList(nn.Conv2d(2, c, 1).double() for c in channels)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(conv(x) for conv, x in zip(self.convs, features, strict=True))


def _features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(11)
    return (
        torch.randn(8, 2, 4, 6, generator=generator, dtype=torch.float64),
        torch.randn(8, 2, 2, 3, generator=generator, dtype=torch.float64),
    )


def _train_step(network: nn.Module, spec_of: _Network, first: int, last: int) -> None:
    features = [x[first:last] for x in _features()]
    truth = part_of(random_truth(6, 8, 3, 3), first, last)
    torch.autograd.backward(compute_loss(network(*features), truth, spec_of.spec, "v4").total)


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    network = _Network()
    _train_step(nn.parallel.DistributedDataParallel(network), network, 4 * rank, 4 * rank + 4)
    gradients = [p.grad for p in network.parameters()]
    torch.save(gradients, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def test_eight_is_two_ranks_times_four(tmp_path: Path) -> None:
    network = _Network()
    _train_step(network, network, 0, 8)
    context = torch.multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=900)
    assert [process.exitcode for process in ranks] == [0, 0]
    for rank in range(2):
        for got, parameter in zip(
            torch.load(tmp_path / f"rank{rank}.pt", weights_only=True), network.parameters(), strict=True
        ):
            torch.testing.assert_close(got, parameter.grad, rtol=1e-10, atol=1e-12)
