"""The partial stage of CSPNet against its definition, written out."""

import torch

from tests.models.written_out import block, randomized
from yoloscope.models.layers.csp import CspStage, Residual


def test_one_half_of_the_channels_passes_by_the_blocks_of_a_partial_stage() -> None:
    stage = randomized(CspStage(8, 16, 2, activation="mish"))
    assert isinstance(stage, CspStage)
    x = torch.randn(2, 8, 6, 10)
    down = block(x, stage.down, "mish")
    assert down.shape == (2, 16, 3, 5)
    deep = block(down, stage.enter, "mish")
    for residual in stage.blocks:
        assert isinstance(residual, Residual)
        deep = deep + block(block(deep, residual.squeeze, "mish"), residual.expand, "mish")
    joined = torch.cat((block(deep, stage.leave, "mish"), block(down, stage.bypass, "mish")), 1)
    assert joined.shape[1] == 8 + 8
    torch.testing.assert_close(stage(x), block(joined, stage.merge, "mish"), rtol=1e-4, atol=1e-5)
