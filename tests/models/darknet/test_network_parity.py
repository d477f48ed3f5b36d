"""Heads beside darknet's own, for every network that the oracles hold; about a second per large network."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.parity.networks import (
    HeadParity,
    compare_pseudo,
    compare_real,
    load_pseudo_network,
    load_real_network,
    pseudo_folders,
    real_models,
    torch_heads,
)
from yoloscope.models.darknet.weights import load_weights, save_weights

ORACLES = Path(os.environ.get("ORACLES_DIR", ROOT.parent / "shared" / "oracles"))
FOLDERS = {folder.name: folder for folder in pseudo_folders(ORACLES)}
MODELS = {path.stem: path for path in real_models(ORACLES)}


def _failures(report: list[HeadParity]) -> list[HeadParity]:
    return [head for head in report if not head.passed]


@pytest.mark.usefixtures("oracles_dir")
@pytest.mark.parametrize("name", FOLDERS or ["none"])
def test_formula_made_weights(name: str) -> None:
    folder = FOLDERS[name]
    network = load_pseudo_network(folder)
    report = compare_pseudo(folder, network)
    assert report
    assert _failures(report) == []
    del network
    gc.collect()


@pytest.mark.parametrize("name", MODELS or ["none"])
def test_real_weights(oracles_dir: Path, name: str) -> None:
    path = MODELS[name]
    network = load_real_network(path)
    report = compare_real(oracles_dir, path, torch_heads(network))
    assert report
    assert _failures(report) == []


@pytest.mark.usefixtures("oracles_dir")
@pytest.mark.parametrize("name", MODELS or ["none"])
def test_real_weights_come_out_byte_for_byte(name: str) -> None:
    network = load_real_network(MODELS[name])
    header = load_weights(network, MODELS[name])
    assert save_weights(network, header) == MODELS[name].read_bytes()


@pytest.mark.usefixtures("oracles_dir")
def test_batches_are_independent() -> None:
    network = load_pseudo_network(FOLDERS["micro-shortcut-weights"])
    images = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = network(images)[0]
        alone = network(images[1:2])[0]
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("oracles_dir")
def test_a_wrong_weight_is_noticed() -> None:
    folder = FOLDERS["micro-pools"]
    network = load_pseudo_network(folder)
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    assert _failures(compare_pseudo(folder, network))
