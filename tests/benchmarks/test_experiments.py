"""The tables of experiments can be trained, and print what was measured."""

from pathlib import Path

import pytest
import torch

from tests.benchmarks.experiments.__main__ import render, spread
from tests.benchmarks.experiments.rows import Row, changed, tables
from tests.benchmarks.experiments.runs import Bench, Result, result_of
from yoloscope.training.build import build_network, build_pipeline
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.digits import generate
from yoloscope.training.train import train_network

TABLES = tables(None)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    generate(folder, {"train": 8, "val": 4}, seed=0)
    return folder


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_another_run_that_can_be_built(table: str, digits: Path) -> None:
    rows = TABLES[table].rows
    assert len({row.name for row in rows}) == len(rows)
    runs = {row.config.to_yaml(): row for row in rows if row.trained_as is None}
    assert len(runs) == sum(row.trained_as is None for row in rows)
    dataset = open_dataset(digits, "train")
    for row in runs.values():
        network = build_network(row.config, dataset)
        assert network.spec.class_names == dataset.class_names
        build_pipeline(row.config.augment)


def test_a_run_is_trained_once_and_measured_on_unseen_splits(digits: Path, tmp_path: Path) -> None:
    base = {
        "network_options": {"width": 0.25},
        "input_size": (64, 64),
        "epochs": 1,
        "batch_size": 4,
        "data": {"workers": 0},
    }
    row = Row("a row", changed(base, {"optimizer.lr": 0.001}))
    bench, told = Bench(digits, "val", tmp_path), list[str]()
    first = result_of(row, 0, bench, told.append)
    assert first.steps == 2
    assert 0 <= first.test["AP"] <= 1
    assert "AP50 zero" in first.test
    assert result_of(row, 0, bench, told.append) == first
    assert len(told) == 1
    plain = result_of(Row("plain", row.config, {"beta": None}, "a row"), 0, bench, told.append)
    assert plain.parameters == first.parameters


def test_a_taught_run_is_the_one_that_trains_its_own_teachers(digits: Path, tmp_path: Path) -> None:
    base = {"network_options": {"width": 0.25}, "input_size": (64, 64), "epochs": 1, "precision": "fp32"}
    alone = Row("alone", changed(base, {"data.workers": 0}))
    taught = Row("taught", changed(base, {"data.workers": 0, "distill.teachers": 2}), taught_by=alone)
    told: list[str] = []
    result_of(taught, 1, Bench(digits, "val", tmp_path / "bench"), told.append)
    assert [line.split(":")[0] for line in told] == ["alone-1", "alone-2", "taught-1"]
    train_network(taught.config.replace(seed=1), digits, tmp_path / "run")
    once, twice = (
        read_checkpoint(folder / "last.ckpt")["network"]
        for folder in (tmp_path / "bench" / "taught-1", tmp_path / "run")
    )
    assert all(torch.equal(once[key], twice[key]) for key in twice)


def test_the_built_in_model_is_taught_by_what_it_is_otherwise() -> None:
    alone, taught = TABLES["builtin"].rows
    assert taught.config.distill is not None
    assert taught.config.replace(distill=None) == alone.config
    assert taught.taught_by == alone
    assert [TABLES["builtin"].seeds_of(row, 3) for row in (alone, taught)] == [5, 3]


def test_the_table_gives_mean_and_spread() -> None:
    def run(ap: float) -> Result:
        return Result(1_500_000, 78, 60.0, {"AP": ap}, {"AP": ap, "AP50": 0.9, "AP50 RBC": 0.8})

    last = render(["a", "b"], [[run(0.5)], [run(0.5), run(0.6)]]).splitlines()[-1]
    assert last == "| b | 1.50 | 78 | 0.550 ± 0.071 | 0.550 ± 0.071 | 0.900 ± 0.000 | RBC 0.800 | 60 ± 0 |"
    assert spread([1.26], 1) == "1.3"
