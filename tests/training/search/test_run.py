"""A search: what is tried next, what counts, and that interruptions change nothing. Most trials are scripted."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event

import yoloscope.training.search.run
from tests.training.runs import Configure, signalled_at
from yoloscope.models.errors import CheckpointError, ConfigError, NonFiniteLossError
from yoloscope.training.checkpoint.progress import RunProgress
from yoloscope.training.config import TrainingConfig
from yoloscope.training.search.run import SearchPlan, SearchResult, TrialReporting, search
from yoloscope.training.search.space import SearchSpace
from yoloscope.training.search.study import TrialRecord

SPACE = SearchSpace.parse(
    {
        "optimizer.lr": {"low": 0.0001, "high": 0.1, "log": True},
        "augment.mosaic": {"low": 0.0, "high": 1.0},
        "augment.random_scale": {"choices": [None, [0.8, 1.25]]},
    }
)
EPOCHS = 3
Script = Callable[[TrainingConfig], list[float]]


def best_near_a_hundredth(config: TrainingConfig) -> list[float]:
    """AP after every epoch; the best rate is .01."""
    final = 1 / (1 + abs(config.optimizer.lr - 0.01) * 100) - 0.3 * config.augment.mosaic
    return [final * (epoch + 1) / EPOCHS for epoch in range(EPOCHS)]


class Scripted:
    """Stands in for ``train``: one step an epoch, AP as the script says; raises or is interrupted at some calls."""

    def __init__(self, script: Script = best_near_a_hundredth, **at_call: int | BaseException) -> None:
        self.script = script
        self.at_call = {int(call.removeprefix("call_")): what for call, what in at_call.items()}
        self.configs: list[TrainingConfig] = []
        self.epochs: list[int] = []

    def __call__(
        self, config: TrainingConfig, _data: Path, _folder: Path, extra_callbacks: tuple[TrialReporting], **_: Any
    ) -> Any:
        (reporting,) = extra_callbacks
        self.configs.append(config)
        what = self.at_call.get(len(self.configs))
        if isinstance(what, BaseException):
            raise what
        trainer: Any = SimpleNamespace(should_stop=False)
        module: Any = SimpleNamespace(progress=RunProgress(), steps_per_epoch=1, total_steps=config.epochs)
        for ap in self.script(config):
            module.progress.step += 1
            module.progress.scores.append((module.progress.step, ap, ap))
            reporting.after_step(trainer, module)
            if trainer.should_stop:
                break
        module.epoch = float(module.progress.step)
        self.epochs.append(module.progress.step)
        return SimpleNamespace(module=module, splits=None, signal=what)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let SQLite leave its writes to the operating system, which is three times as fast here."""

    def hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture
def run(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., SearchResult]:
    """Search with a stand-in for training."""

    def call(train: Scripted, num_trials: int, *, folder: str = "search", **more: Any) -> SearchResult:
        monkeypatch.setattr(yoloscope.training.search.run, "train_network", train)
        config = configure(epochs=EPOCHS, data={"val": "val"}, optimizer={"lr": 0.05}, augment={"mosaic": 0.5})
        plan = SearchPlan(config.replace(**more.pop("changes", {})), **({"space": SPACE} | more), num_trials=num_trials)
        return search(plan, shapes, tmp_path / folder)

    return call


def outcome(records: tuple[TrialRecord, ...]) -> list[tuple[object, ...]]:
    return [(record.number, record.state, record.ap, dict(record.values)) for record in records]


def test_the_first_trial_is_the_configuration_itself_and_the_best_is_written(
    run: Callable[..., SearchResult], tmp_path: Path
) -> None:
    train = Scripted()
    result = run(train, 12)
    assert [record.number for record in result.records] == list(range(1, 13))
    assert result.signal is None
    first = result.records[0]
    own = {"optimizer.lr": 0.05, "augment.mosaic": 0.5, "augment.random_scale": None}
    assert dict(first.values) == own
    best = result.best
    assert best is not None
    assert best.ap == max(record.ap or 0 for record in result.records) > (first.ap or 0)
    written = TrainingConfig.load(tmp_path / "search" / "best.yaml")
    assert written == train.configs[best.number - 1]
    assert written.optimizer.lr == best.values["optimizer.lr"]
    assert sum(result.importances.values()) == pytest.approx(1)
    assert max(result.importances, key=lambda key: result.importances[key]) == "optimizer.lr"


def test_a_seed_makes_a_search(run: Callable[..., SearchResult]) -> None:
    once, again, other = (run(Scripted(), 3, folder=name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert outcome(once.records) == outcome(again.records)
    assert once.records[0].values == other.records[0].values
    assert once.records[1].values != other.records[1].values


def test_an_interruption_changes_nothing(run: Callable[..., SearchResult]) -> None:
    """Trial 3 is cut off by a signal that training obeys, trial 6 by an end that nobody could note."""
    whole = run(Scripted(), 12, folder="whole")
    stopping, dying, rest = Scripted(call_3=signal.SIGTERM), Scripted(call_4=OSError("disk full")), Scripted()
    stopped = run(stopping, 12, folder="parts")
    assert stopped.signal == signal.SIGTERM
    assert outcome(stopped.records) == outcome(whole.records)[:2]
    with pytest.raises(OSError, match="disk full"):
        run(dying, 12, folder="parts")
    resumed = run(rest, 12, folder="parts")
    assert outcome(resumed.records) == outcome(whole.records)
    assert dying.configs[0] == stopping.configs[2]
    assert rest.configs[0] == dying.configs[3]
    assert len(rest.configs) == 12 - 5


def test_more_trials_may_be_asked_for_later(run: Callable[..., SearchResult]) -> None:
    run(Scripted(), 3)
    train = Scripted()
    assert len(run(train, 5).records) == 5
    assert len(train.configs) == 2
    assert len(run(Scripted(), 5).records) == 5
    assert len(run(Scripted(), 2).records) == 5


def test_a_trial_that_fails_is_told_and_the_search_goes_on(run: Callable[..., SearchResult], tmp_path: Path) -> None:
    diverged, impossible = NonFiniteLossError("box of image 3 is nan"), ConfigError("no such thing")
    result = run(Scripted(call_1=diverged, call_3=impossible), 4)
    assert [record.state for record in result.records] == ["failed", "complete", "failed", "complete"]
    assert [record.reason for record in result.records] == ["box of image 3 is nan", None, "no such thing", None]
    assert result.records[0].ap is None
    in_vain = run(Scripted(call_1=diverged), 1, folder="in_vain")
    assert in_vain.best is None
    assert not (tmp_path / "in_vain" / "best.yaml").exists()


@pytest.mark.parametrize("prune", [True, False])
def test_trials_below_the_median_end_early(run: Callable[..., SearchResult], *, prune: bool) -> None:
    """Each trial is worse than the last; five are complete before the median counts, from epoch 2 on."""
    left = [0.9 - 0.1 * number for number in range(7)]
    train = Scripted(lambda _config: [left.pop(0)] * 3)
    result = run(train, 7, prune=prune)
    assert train.epochs == ([3] * 5 + [2] * 2 if prune else [3] * 7)
    assert [record.state for record in result.records[5:]] == ["pruned" if prune else "complete"] * 2
    assert result.best == result.records[0]


def test_a_trial_that_is_below_the_median_at_its_last_epoch_is_complete(run: Callable[..., SearchResult]) -> None:
    left = [0.9 - 0.1 * number for number in range(6)]
    train = Scripted(lambda _config: [1.0] * 2 + [left.pop(0)])
    assert {record.state for record in run(train, 6).records} == {"complete"}


def test_another_setup_needs_another_folder(run: Callable[..., SearchResult], tmp_path: Path) -> None:
    run(Scripted(), 1)
    narrower = SearchSpace.parse({"augment.mosaic": {"low": 0, "high": 1}})
    for changes, part in (
        ({"space": narrower}, "space"),
        ({"seed": 1}, "seed"),
        ({"prune": False}, "pruning"),
        ({"changes": {"epochs": 4}}, "configuration"),
    ):
        with pytest.raises(ConfigError, match=f"expected the {part} of the study that is there, got another"):
            run(Scripted(), 1, **changes)
    with (tmp_path / "search" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another search is at work there"):
            run(Scripted(), 1)


def test_trials_need_something_to_be_compared_on(run: Callable[..., SearchResult]) -> None:
    with pytest.raises(ConfigError, match=r"data\.val: expected a split"):
        run(Scripted(), 1, changes={"data": {"val": None}})
    with pytest.raises(ConfigError, match=r"augment\.mosaic: "):
        run(Scripted(), 1, space=SearchSpace.parse({"augment.mosaic": {"low": 0, "high": 2}}))


def test_a_trial_goes_on_from_its_last_checkpoint(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    """Real training; SIGTERM after two of four epochs of the second trial, which the third obeys."""
    config = configure(epochs=4, data={"val": "val"}, ema={"decay": 0.5}, optimizer={"lr": 0.004})
    space = SearchSpace.parse({"optimizer.lr": {"low": 0.003, "high": 0.005}})
    plan = SearchPlan(config, space, num_trials=2)
    whole = search(plan, shapes, tmp_path / "whole")
    with signalled_at("trial 2: epoch 2"):
        stopped = search(plan, shapes, tmp_path / "parts")
    assert (stopped.signal, len(stopped.records)) == (signal.SIGTERM, 1)
    trials = tmp_path / "parts" / "trials"
    assert (trials / "002" / "last.ckpt").is_file()
    shares: list[float] = []
    resumed = search(plan, shapes, tmp_path / "parts", on_progress=shares.append)
    assert shares == [2.0]
    assert outcome(resumed.records) == outcome(whole.records)
    best = whole.best
    assert best is not None
    assert [path.parent.name for path in trials.glob("*/*.ckpt")] == [f"{best.number:03d}"]


def test_teachers_are_looked_at_before_the_first_trial(run: Callable[..., SearchResult]) -> None:
    train = Scripted()
    with pytest.raises(ConfigError, match="expected checkpoints for a search, got a number, 2: every trial would"):
        run(train, 1, changes={"distill": {"teachers": 2}})
    with pytest.raises(CheckpointError, match=r"expected a checkpoint at .*gone"):
        run(train, 1, changes={"distill": {"teachers": ["gone"]}})
    assert train.configs == []
