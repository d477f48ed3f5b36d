"""Everything that parity means for one model: heads, detections, files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from tests.parity.detections import DetectionParity, compare_stored_heads
from tests.parity.images import artifact_detector, compare_images, eager_detector
from tests.parity.networks import (
    HeadParity,
    Heads,
    compare_pseudo,
    compare_real,
    load_pseudo_network,
    load_real_network,
    read_summary,
    torch_heads,
)
from tests.parity.pseudo_weights import pseudo_weights
from yoloscope.models.darknet.network import DarknetNetwork
from yoloscope.models.darknet.weights import load_weights, save_weights
from yoloscope.models.errors import UnsupportedLayerError, YoloscopeError
from yoloscope.models.session import open_session
from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.export.onnx import NETWORK_INPUT, export_onnx
from yoloscope.training.export.surgery import take_network
from yoloscope.training.export.tracing import trace

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Check:
    """One line of a model's result: what was compared, the worst error in words, and whether it is within tolerance."""

    what: str
    worst: str
    passed: bool
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelResult:
    """All checks of one model, or why it was refused."""

    name: str
    checks: tuple[Check, ...]
    refused: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check is within tolerance."""
        return all(check.passed for check in self.checks)


def check_pseudo(folder: Path, *, with_onnx: bool = True) -> ModelResult:
    """Compare heads in eager and in ONNX for a network with formula-made weights."""

    def checks() -> Iterator[Check]:
        network = load_pseudo_network(folder)
        yield _heads_check("heads eager", compare_pseudo(folder, network))
        if with_onnx:
            yield _heads_check("heads ONNX", compare_pseudo(folder, network, onnx_heads(network)))
        yield _rewrite_check(network, bytes(pseudo_weights(read_summary(folder))))

    return _collect(folder.name, checks)


def check_real(oracles: Path, weights: Path) -> ModelResult:
    """Compare heads, stored and fresh detections, the artifact and the weights file of a real model."""

    def checks() -> Iterator[Check]:
        network = load_real_network(weights)
        yield _heads_check("heads eager", compare_real(oracles, weights, torch_heads(network)))
        yield _detections_check(
            "stored heads", compare_stored_heads(oracles / "darknet_out" / weights.stem, network.spec)
        )
        eager = eager_detector(network, network.spec)
        yield _detections_check("images eager", compare_images(oracles, weights.stem, network.spec, eager))
        with tempfile.TemporaryDirectory() as folder:
            artifact = Path(folder) / "model.onnx"
            report = export_onnx(network, network.spec, artifact)
            yield Check("self-check", "; ".join(report.differences) or "agrees", not report.differences)
            heads = session_heads(take_network(read_artifact(artifact)[0]))
            yield _heads_check("heads ONNX", compare_real(oracles, weights, heads))
            found = artifact_detector(open_session(artifact))
            yield _detections_check("images ONNX", compare_images(oracles, weights.stem, network.spec, found))
        yield _rewrite_check(network, weights.read_bytes())

    return _collect(weights.stem, checks)


def onnx_heads(network: DarknetNetwork) -> Heads:
    """Return the heads of a network exported alone, without decoding."""
    spec = network.spec
    model = trace(
        network,
        (torch.zeros(2, 3, spec.input_height, spec.input_width),),
        input_names=[NETWORK_INPUT],
        output_names=[f"head_{index}" for index in range(len(spec.heads))],
        dynamic_shapes=[{0: torch.export.Dim("batch", min=1)}],
    )
    return session_heads(model)


def session_heads(model: onnx.ModelProto) -> Heads:
    """Return a function from an image [3, H, W] to the heads of a graph in onnxruntime."""
    session = open_session(model.SerializeToString())

    def run(image: Array) -> list[Array]:
        return [head[0] for head in session.run(None, {NETWORK_INPUT: image[None]})]

    return run


def _collect(name: str, checks: Callable[[], Iterator[Check]]) -> ModelResult:
    """Run the checks of a model; an error ends them and counts as a failure, a refusal by name does not."""
    done: list[Check] = []
    try:
        done.extend(checks())
    except UnsupportedLayerError as error:
        return ModelResult(name, (), str(error))
    except (YoloscopeError, AssertionError) as error:
        done.append(Check("error", f"{type(error).__name__}: {error}", passed=False))
    return ModelResult(name, tuple(done))


def _rewrite_check(network: DarknetNetwork, weights: bytes) -> Check:
    """Read a .weights file and write it again."""
    same = save_weights(network, load_weights(network, weights)) == weights
    return Check("weights file", "byte for byte" if same else "differs", same)


def _heads_check(what: str, heads: Iterable[HeadParity]) -> Check:
    found = list(heads)
    if not found:
        return Check(what, "no heads", passed=False)
    worst = max(found, key=lambda head: head.worst / head.tolerance)
    words = f"{worst.worst:.1e} of {worst.tolerance:.1e}"
    return Check(what, words, all(head.passed for head in found))


def _detections_check(what: str, sets: Iterable[DetectionParity]) -> Check:
    found = list(sets)
    if not found:
        return Check(what, "no detections stored", passed=False)
    count = sum(parity.expected for parity in found)
    box, score = max(parity.worst_box for parity in found), max(parity.worst_score for parity in found)
    details = tuple(
        f"{parity.case}: {parity.unpaired} alone, box {parity.worst_box:.2e}, score {parity.worst_score:.2e}"
        for parity in found
        if not parity.passed
    )
    return Check(what, f"{count}: box {box:.1e} score {score:.1e}", not details, details)
