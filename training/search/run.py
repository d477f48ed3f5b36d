"""Search of hyper-parameters: sequential TPE over short trainings, with median pruning; needs optuna."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lightning.pytorch as lightning
import torch

from yoloscope.models import registry
from yoloscope.models.errors import ConfigError, LossError, YoloscopeError
from yoloscope.models.files import write_text
from yoloscope.models.locks import alone_in
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.build import build_network, configured_spec
from yoloscope.training.callbacks.base import StepCallback
from yoloscope.training.checkpoint.files import BEST, BEST_CONFIG, CONFIG, FINDINGS, LAST, trial_folder
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.splits import open_splits
from yoloscope.training.logs import LOGGER, no_log
from yoloscope.training.module import TrainingModule
from yoloscope.training.search.space import SearchSpace, shown, with_values
from yoloscope.training.search.study import SearchStudy, TrialRecord
from yoloscope.training.teachers import Teachers, num_teachers_to_train, teacher_paths
from yoloscope.training.train import TrainedNetwork, train_network
from yoloscope.training.trainer import DEFAULT_DEVICE, DeviceConfig

if TYPE_CHECKING:
    from optuna.trial import Trial

_USUAL: Final[dict[str, Any]] = {
    "optimizer.lr": {"low": 0.0005, "high": 0.01, "log": True},
    "optimizer.weight_decay": {"low": 0.00001, "high": 0.05, "log": True},
    "augment.mosaic": {"low": 0.0, "high": 1.0},
    "augment.random_scale": {"choices": [None, [0.8, 1.25], [0.7, 1.4], [0.5, 2.0]]},
    "ema.decay": {"choices": [0.99, 0.995, 0.998, 0.999, 0.9998]},
}
_BOX_WEIGHT: Final = {"loss.overrides.weights.box": {"low": 1.0, "high": 25.0, "log": True}}


def default_space(config: TrainingConfig) -> SearchSpace:
    """Return the default search space: rate, decay, Mosaic, scale, average and (v4) the box weight."""
    weighs_boxes = _spec(config, ("object",)).loss.preset == "v4"
    return SearchSpace.parse(_USUAL | (_BOX_WEIGHT if weighs_boxes else {}), "the built-in search space")


def check_space(space: SearchSpace, config: TrainingConfig, class_names: Sequence[str]) -> None:
    """Raise ConfigError naming the first key with a value that the run of ``config`` cannot have."""
    _spec(config, class_names)
    for key in space.dimensions:
        for value in space.ends(key):
            source = f"{space.source}: {key}"
            try:
                _spec(with_values(config, {key: value}, source), class_names)
            except ConfigError as error:
                raise ConfigError(_named(source, str(error))) from error
            except YoloscopeError as error:
                raise ConfigError(f"{source}: {error}") from error


def _named(source: str, message: str) -> str:
    return message if message.startswith(source) else f"{source}: {message}"


def _spec(config: TrainingConfig, class_names: Sequence[str]) -> DetectorSpec:
    """Return the description of the network of a run, built without weights."""
    with torch.device("meta"):
        network = registry.build(
            config.network,
            len(class_names),
            None if isinstance(config.anchors, str) else config.anchors,
            config.input_size,
            class_names=class_names,
            **config.network_options,
        )
    return configured_spec(network.spec, config)


class TrialReporting(StepCallback):
    """Report AP to the study after every validation; end the trial where ``report`` (epoch, AP) returns true.

    Validations from before a restart are reported first. ``on_progress`` is called with the share done after each step.
    """

    def __init__(self, report: Callable[[int, float], bool], on_progress: Callable[[float], None]) -> None:
        self._report, self._on_progress = report, on_progress
        self._reported = 0
        self.hopeless = False

    def after_step(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Report what is new, and stop where that is hopeless."""
        self.catch_up(module)
        if self.hopeless and module.progress.step < module.total_steps:
            trainer.should_stop = True
        self._on_progress(module.progress.step / module.total_steps)

    def catch_up(self, module: TrainingModule) -> None:
        """Report the validations that have not been reported yet."""
        scores = module.progress.scores
        for step, ap, _ in scores[self._reported :]:
            self.hopeless = self._report(round(step / module.steps_per_epoch), ap)
        self._reported = len(scores)


_LOGGER: Final = LOGGER.getChild("search")
_FAILURES: Final = (LossError, ConfigError, torch.OutOfMemoryError)
ProgressCallback = Callable[[float], None]


@dataclass(frozen=True)
class SearchPlan:
    """Plan of a search: ``num_trials`` in all, over restarts; ``prune`` ends those under the median of the others."""

    config: TrainingConfig
    space: SearchSpace
    num_trials: int
    seed: int = 0
    prune: bool = True


@dataclass(frozen=True)
class SearchResult:
    """State of a search; ``signal`` is the number of the signal that interrupted it."""

    records: tuple[TrialRecord, ...]
    importances: Mapping[str, float]
    signal: int | None

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial of the highest AP, the first of equals."""
        return _best(self.records)


def search(
    plan: SearchPlan,
    data: Path,
    folder: Path,
    *,
    machine: DeviceConfig = DEFAULT_DEVICE,
    on_progress: ProgressCallback = lambda _trials: None,
) -> SearchResult:
    """Train until ``plan.num_trials`` trials are done, and write the best configuration to ``best.yaml``.

    The study is ``study.db`` in ``folder``, the trials are runs under ``trials``, of which the best keeps its weights.
    After an interruption the same call goes on, with the trial that was cut off first, from its last checkpoint. A
    trial whose loss diverges, whose configuration cannot be or for which memory is short counts as failed.
    ``on_progress`` gets the number of trials done, in parts. Raises ConfigError for a space, teachers or a folder that
    do not fit.
    """
    machine.validate()
    if num_teachers_to_train(plan.config):
        raise ConfigError(
            f"distill.teachers: expected checkpoints for a search, got a number, {num_teachers_to_train(plan.config)}: "
            "every trial would train so many first"
        )
    splits = open_splits(plan.config, data, folder / FINDINGS)
    if splits.val is None:
        raise ConfigError("data.val: expected a split with objects to compare trials on, got none")
    check_space(plan.space, plan.config, splits.train.class_names)
    teachers = teacher_paths(plan.config, folder)
    if teachers:
        Teachers.load(teachers, build_network(plan.config, splits.train).spec)
    folder.mkdir(parents=True, exist_ok=True)
    warm_up = plan.config.epochs // 3 + 1
    with alone_in(folder, "search"), closing(_study(plan, folder, warm_up)) as study:
        study.begin(_setup(plan, data), plan.config)
        runner = _Runner(plan, data, folder, study, machine, on_progress)
        signal = None
        while signal is None and len(study.records()) < plan.num_trials:
            signal = runner.run_trial()
        return SearchResult(study.records(), study.importances(), signal)


@dataclass(frozen=True)
class _Runner:
    plan: SearchPlan
    data: Path
    folder: Path
    study: SearchStudy
    machine: DeviceConfig
    on_progress: ProgressCallback

    def run_trial(self) -> int | None:
        """Carry one trial to its end; return the signal where one interrupted it."""
        done = len(self.study.records())
        number = done + 1
        trial, values = self.study.ask()
        _LOGGER.info("trial %d/%d: %s", number, self.plan.num_trials, shown(values))

        def report(epoch: int, ap: float) -> bool:
            trial.report(ap, epoch)
            _LOGGER.info("trial %d: epoch %d  AP %.3f", number, epoch, ap)
            return trial.should_prune()

        reporting = TrialReporting(report, lambda share: self.on_progress(done + share))
        try:
            config = with_values(self.plan.config, values)
            run = self._train(config, trial_folder(self.folder, number), reporting)
        except _FAILURES as error:
            self._fail(trial, number, error)
            return None
        if run.signal is not None:
            self.study.put_back(trial)
            return run.signal
        reporting.catch_up(run.module)
        early = run.module.progress.step < run.module.total_steps
        self._finish(trial, number, run, pruned=reporting.hopeless and early)
        return None

    def _train(self, config: TrainingConfig, folder: Path, reporting: TrialReporting) -> TrainedNetwork:
        """Train, from the last checkpoint where the folder holds this very run."""
        last, written = folder / LAST, folder / CONFIG
        resume = last.is_file() and written.is_file() and written.read_text("utf-8") == config.to_yaml()
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        with no_log():
            return train_network(
                config, self.data, folder, resume=resume, machine=self.machine, extra_callbacks=(reporting,)
            )

    def _finish(self, trial: Trial, number: int, run: TrainedNetwork, *, pruned: bool) -> None:
        progress = run.module.progress
        assert progress.best is not None
        ap = progress.best[1]
        epochs, seconds = run.module.epoch, round(progress.seconds, 1)
        self.study.finish(trial, ap, epochs, seconds, pruned=pruned)
        how = "ended early, below the median" if pruned else "done"
        _LOGGER.info("trial %d: %s  AP %.3f  %.0f s", number, how, ap, seconds)
        self._keep_best()

    def _fail(self, trial: Trial, number: int, error: Exception) -> None:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        self.study.fail(trial, reason)
        _LOGGER.warning("trial %d: failed: %s", number, reason)
        self._keep_best()

    def _keep_best(self) -> None:
        """Write the best configuration, and let go of the weights of the other trials that are done."""
        records = self.study.records()
        best = _best(records)
        for record in records:
            folder = trial_folder(self.folder, record.number)
            (folder / LAST).unlink(missing_ok=True)
            if record is not best:
                (folder / BEST).unlink(missing_ok=True)
        if best is not None:
            text = with_values(self.plan.config, best.values).to_yaml()
            write_text(self.folder / BEST_CONFIG, text)


def _best(records: tuple[TrialRecord, ...]) -> TrialRecord | None:
    complete = [record for record in records if record.state == "complete"]
    return max(complete, key=lambda record: record.ap or 0.0, default=None)


def _study(plan: SearchPlan, folder: Path, warmup_epochs: int) -> SearchStudy:
    return SearchStudy(folder, plan.space, plan.seed, prune=plan.prune, warmup_epochs=warmup_epochs)


def _setup(plan: SearchPlan, data: Path) -> dict[str, object]:
    """Return what must stay the same over restarts."""
    return {
        "configuration": plan.config.model_dump(mode="json"),
        "space": plan.space.to_dict(),
        "data": str(data.resolve()),
        "seed": plan.seed,
        "pruning": plan.prune,
    }
