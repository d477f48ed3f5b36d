"""Fully connected layers."""

import torch

from yoloscope.models.layers.connected import Connected


def test_connected_reads_channels_then_rows_and_normalizes() -> None:
    connected = Connected(4, 1, batch_norm=True, activation="linear").eval()
    with torch.no_grad():
        connected.linear.weight.copy_(torch.tensor([[1.0, 10, 100, 1000]]))
    got = connected(torch.tensor([1.0, 2, 3, 4]).reshape(1, 2, 1, 2))
    torch.testing.assert_close(got, torch.full((1, 1, 1, 1), 4321 / (1 + 1e-5) ** 0.5))
    assert [b.role for b in connected.weight_blocks()] == ["biases", "weights", "scales", "mean", "variance"]
