"""Figures of freebies inside the network: self-adversarial training, DropBlock, cross mini-batch normalization."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from yoloscope.models.layers.dropblock import DropBlock
from yoloscope.training.losses import compute_loss
from yoloscope.training.optim.cross_mini_batch_norm import CrossMiniBatchNorm2d
from yoloscope.training.optim.schedule import LinearRamp
from yoloscope.training.optim.self_adversarial import self_adversarial
from yoloscope.training.visualize.drawing import Figure, Panel, Scene, chart, image_of

_CHANNELS = 32


def network_figures(scene: Scene) -> Iterator[Figure]:
    """Yield the figures of self-adversarial training, DropBlock and CmBN."""
    yield _self_adversarial(scene)
    yield _drop_block(scene)
    yield _cross_mini_batch_norm(scene)


def _self_adversarial(scene: Scene) -> Figure:
    """Show an image, what it becomes, and the difference, magnified until the largest step is black or white."""
    epsilon = scene.config.freebies.self_adversarial_epsilon
    gain = 1 / (2 * epsilon)
    images, truth = scene.batch()
    network, spec = scene.network, scene.network.spec

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return compute_loss(network(batch), truth, spec, preset=None).total

    attacked = self_adversarial(images, loss, network, epsilon)
    rows = [
        (
            Panel(image_of(plain), "without"),
            Panel(image_of(altered), "with self_adversarial"),
            Panel(image_of((altered - plain) * gain + 0.5), f"the difference, {gain:.3g} times"),
        )
        for plain, altered in zip(images, attacked, strict=True)
    ]
    bound = f"{epsilon * 255:.3g} of 255 levels"
    sentence = f"Each value moves by at most {bound} to where the loss of the network, as it starts, grows."
    return Figure("self_adversarial", sentence, rows)


def _drop_block(scene: Scene) -> Figure:
    """Show which cells of one channel are dropped half-way and at the end of the ramp, dark on the image."""
    ramp = LinearRamp(scene.config.freebies.drop_block or 0.1, 2)
    layers = [module for module in scene.network.modules() if isinstance(module, DropBlock)]
    block, relative = (layers[0].block_size, layers[0].relative_size) if layers else (3, None)
    image = scene.batch()[0][0]
    cells = tuple(max(1, side // 16) for side in image.shape[1:])
    panels = [Panel(image_of(image), "without")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scene.config.seed)
        for step, moment in ((1, "half-way"), (2, "at the end")):
            layer = DropBlock(ramp(step), block, relative).train()
            kept = (layer(torch.ones(1, _CHANNELS, *cells)) > 0).float()
            barest = kept[:, kept.sum((0, 2, 3)).argmin()][:, None]
            shade = torch.nn.functional.interpolate(barest, image.shape[1:], mode="nearest")[0] * 0.8 + 0.2
            panels.append(Panel(image_of(image * shade), f"{moment}: probability {ramp(step):.3g}"))
    size = f"{cells[1]} x {cells[0]} cells"
    sentence = f"Squares of a feature map are dropped (dark): {size} of the barest of {_CHANNELS} channels."
    return Figure("drop_block", sentence, [panels])


def _cross_mini_batch_norm(scene: Scene) -> Figure:
    """Show the mean of red by which each mini-batch of one image is normalized."""
    parts = [part[None] for part in scene.batch(8)[0]]
    crossing = CrossMiniBatchNorm2d(3, affine=False).train()
    alone = [float(part[:, 0].mean()) for part in parts]
    across = [_mean_taken_off(part, crossing(part)) for part in parts]
    full = float(np.mean(alone))
    lines = {
        "without: each mini-batch by its own mean": list(enumerate(alone, 1)),
        "with cross_mini_batch_norm: by all so far": list(enumerate(across, 1)),
        "the mean of the whole batch": [(1, full), (len(parts), full)],
    }
    sentence = "Mini-batches of an accumulated batch share their statistics: here the mean of red, image by image."
    return Figure("cross_mini_batch_norm", sentence, [[Panel(chart(lines, "mini-batch"), "one optimizer step")]])


def _mean_taken_off(part: torch.Tensor, normalized: torch.Tensor) -> float:
    """Return the mean m of red in (x - m) / s, from what went in and what came out."""
    deviation = part[:, 0].std() / normalized[:, 0].std()
    return float(part[:, 0].mean() - normalized[:, 0].mean() * deviation)
