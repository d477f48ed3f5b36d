"""Compare the darknet presets with vectors dumped from darknet: ``python -m tests.parity.golden DIR``.

DIR holds .npz files of the format that ../shared/oracles/loss/README.md describes. Prints the worst error of every
file and exits 1 where one is beyond tolerance: output 1e-6 absolute, gradient = -delta within rtol 2e-5 + atol 1e-6,
counters exact, cost rtol 2e-5, box values 1e-5 absolute, box directions rtol 1e-3.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.parity.golden_cases import CASES, Answer
from yoloscope.models.errors import YoloscopeError
from yoloscope.training.losses.darknet import boxes as darknet_box

OUTPUT_ATOL = 1e-6
DELTA_RTOL, DELTA_ATOL = 2e-5, 1e-6
COST_RTOL = 2e-5
BOX_ATOL = 1e-5
DIRECTION_RTOL, DIRECTION_ATOL = 1e-3, 1e-6
ILL_CONDITIONED = (slice(930, 950), slice(970, 980))


@dataclass
class FileResult:
    """Worst errors of one file, as fractions of their tolerance, and what failed."""

    name: str
    cases: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def record(self, case: str, quantity: str, ratio: float, detail: str = "") -> None:
        self.worst[quantity] = max(self.worst.get(quantity, 0.0), ratio)
        if not ratio <= 1:
            self.failures.append(f"{case}: {quantity} is {ratio:.3g} times its tolerance {detail}".rstrip())

    def line(self) -> str:
        worst = ", ".join(f"{name} {value:.3g}" for name, value in self.worst.items())
        verdict = "ok" if not self.failures else f"{len(self.failures)} beyond tolerance"
        return f"{self.name}: {self.cases} cases, worst error / tolerance: {worst or 'nothing compared'}: {verdict}"


def excess(got: Tensor, expected: np.ndarray, rtol: float, atol: float) -> float:
    """Worst |got - expected| over its tolerance; inf where shapes or the places of NaN and infinity differ."""
    a, b = got.detach().double().numpy(), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        ratio = np.abs(a - b) / (atol + rtol * np.abs(b))
    ratio = np.where(same, 0.0, np.where(np.isfinite(ratio), ratio, np.inf))
    return float(ratio.max(initial=0.0))


def check_file(path: Path) -> FileResult:
    result = FileResult(path.name)
    with np.load(path) as arrays:
        if "pred" in arrays and "dx_iou" in arrays:
            _check_boxes(dict(arrays), result)
            return result
        index = json.loads(bytes(arrays["index_json"]))
        for case in index["cases"]:
            prefix = case["prefix"]
            own = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
            _check_case(index["meta"]["layer"], case, own, result)
    return result


def _check_case(layer: str, case: dict[str, Any], arrays: dict[str, np.ndarray], result: FileResult) -> None:
    name = case["prefix"].rstrip("_")
    result.cases += 1
    try:
        answer: Answer = CASES[layer](case, arrays)
    except (YoloscopeError, KeyError) as error:
        result.failures.append(f"{name}: refused: {type(error).__name__}: {error}")
        return
    result.record(name, "output", excess(answer.output, arrays["output"], 0, OUTPUT_ATOL))
    result.record(name, "gradient", excess(-answer.gradient, arrays["delta"], DELTA_RTOL, DELTA_ATOL))
    result.record(name, "cost", excess(answer.cost, arrays["cost"], COST_RTOL, 1e-6))
    for key, value in answer.exact.items():
        if key in arrays:
            result.record(name, key, 0.0 if np.array_equal(value, arrays[key]) else float("inf"))


def _check_boxes(arrays: dict[str, np.ndarray], result: FileResult) -> None:
    predicted, truth = torch.from_numpy(arrays["pred"]), torch.from_numpy(arrays["truth"])
    result.cases = len(predicted)
    good = torch.ones(len(predicted), dtype=torch.bool)
    for rows in ILL_CONDITIONED:
        good[rows] = False
    values = {**darknet_box.MEASURES, "rmse": darknet_box.rmse, "diounms_beta06": darknet_box.diou}
    for name, function in values.items():
        expected = arrays[name]
        beyond = int((np.abs(expected) > 1e6).sum())
        if name == "diounms_beta06" and beyond > len(expected) // 2:
            result.notes.append(
                f"{name}: {beyond} of {len(expected)} values are beyond +-1e6: no similarities, skipped"
            )
            continue
        result.record("rows", name, excess(function(predicted, truth)[good], expected[good.numpy()], 0, BOX_ATOL))
    for name in darknet_box.MEASURES:
        got = darknet_box.iou_gradient(predicted, truth, name)[good]
        expected = arrays[f"dx_{name}"][good.numpy()]
        result.record("rows", f"dx_{name}", excess(got, expected, DIRECTION_RTOL, DIRECTION_ATOL))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m tests.parity.golden DIR\n")
        return 2
    files = sorted(Path(arguments[0]).glob("*.npz"))
    results = [check_file(path) for path in files]
    for result in results:
        sys.stdout.write(result.line() + "\n")
        for text in (*result.notes, *result.failures):
            sys.stdout.write(f"  {text}\n")
    cases, bad = sum(result.cases for result in results), sum(len(result.failures) for result in results)
    sys.stdout.write(f"{len(files)} files, {cases} cases, {bad} beyond tolerance\n")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
