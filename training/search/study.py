"""Optuna study in an SQLite file: the values of the next trial, and the scores of those done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from yoloscope.models.errors import ConfigError
from yoloscope.training.config import TrainingConfig
from yoloscope.training.search.space import Choices, SearchSpace, label, value_at

STUDY = "study.db"
_SETUP, _REASON, _SECONDS, _EPOCHS = "setup", "reason", "seconds", "epochs"
_STATES: Final[dict[TrialState, Literal["complete", "pruned", "failed"]]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial: its number from 1, AP (None: it failed, for ``reason``), values."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    ap: float | None
    values: Mapping[str, object]
    epochs: float
    seconds: float
    reason: str | None = None


class SearchStudy:
    """The trials of one search, on disk.

    A trial counts once it is complete, pruned or failed; an interrupted one is put back with its values and does not.
    What is tried next follows from the seed and the trials that count, so that an interruption changes nothing.
    """

    def __init__(self, folder: Path, space: SearchSpace, seed: int, *, prune: bool, warmup_epochs: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{folder / STUDY}")
        self._space, self._seed = space, seed
        median = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup_epochs)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=median if prune else optuna.pruners.NopPruner(),
        )

    def close(self) -> None:
        """Close the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def begin(self, setup: Mapping[str, object], config: TrainingConfig) -> None:
        """Record the search space, with the configuration's own values as the first to try; put back what was cut off.

        Raises ConfigError where the file holds the study of another setup.
        """
        text = json.dumps(setup, sort_keys=True)
        known = self._study.user_attrs.get(_SETUP)
        if known is None:
            self._study.set_user_attr(_SETUP, text)
            self._study.enqueue_trial(self._own_values(config))
        elif known != text:
            raise ConfigError(f"{_difference(json.loads(known), json.loads(text))}: choose another --output")
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._put_back(trial.number, trial.params)

    def ask(self) -> tuple[Trial, dict[str, object]]:
        """Return the next trial, and its values by dotted key."""
        state = np.random.SeedSequence((self._seed, len(self.records()))).generate_state(1)
        self._study.sampler = optuna.samplers.TPESampler(seed=int(state[0]), multivariate=True, constant_liar=False)
        trial = self._study.ask()
        return trial, {key: self._suggest(trial, key) for key in self._space.dimensions}

    def finish(self, trial: Trial, ap: float, epochs: float, seconds: float, *, pruned: bool) -> None:
        """Record the AP of a trial."""
        trial.set_user_attr(_EPOCHS, epochs)
        trial.set_user_attr(_SECONDS, seconds)
        if pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, ap)

    def fail(self, trial: Trial, reason: str) -> None:
        """Record that a trial failed."""
        trial.set_user_attr(_REASON, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def put_back(self, trial: Trial) -> None:
        """Record that a trial was interrupted, and try its values again next."""
        self._put_back(trial.number, trial.params)

    def records(self) -> tuple[TrialRecord, ...]:
        """Return the trials that count, in order."""
        ended = self._study.get_trials(deepcopy=False, states=tuple(_STATES))
        counted = [trial for trial in ended if trial.state != TrialState.FAIL or _REASON in trial.user_attrs]
        return tuple(self._record(number, trial) for number, trial in enumerate(counted, start=1))

    def importances(self) -> dict[str, float]:
        """Return the importance of each key for AP, greatest first; empty under four complete trials."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
            return {}
        return optuna.importance.get_param_importances(self._study)

    def _suggest(self, trial: Trial, key: str) -> object:
        dimension = self._space.dimensions[key]
        if isinstance(dimension, Choices):
            return json.loads(trial.suggest_categorical(key, dimension.labels))
        if dimension.whole:
            return trial.suggest_int(key, int(dimension.low), int(dimension.high), log=dimension.log)
        return trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)

    def _own_values(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the values that the configuration has inside the space, as the study writes them."""
        values: dict[str, Any] = {}
        for key, dimension in self._space.dimensions.items():
            try:
                own = value_at(config, key)
            except KeyError:
                continue
            if own in dimension:
                values[key] = label(own) if isinstance(dimension, Choices) else own
        return values

    def _put_back(self, number: int, params: Mapping[str, Any]) -> None:
        self._study.tell(number, state=TrialState.FAIL)
        self._study.enqueue_trial(dict(params))

    def _record(self, number: int, trial: FrozenTrial) -> TrialRecord:
        values = {
            key: json.loads(value) if isinstance(self._space.dimensions[key], Choices) else value
            for key, value in trial.params.items()
        }
        attributes = trial.user_attrs
        return TrialRecord(
            number,
            _STATES[trial.state],
            trial.value,
            values,
            attributes.get(_EPOCHS, 0.0),
            attributes.get(_SECONDS, 0.0),
            attributes.get(_REASON),
        )


def _difference(known: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Return the first part in which two setups differ, in words."""
    key = next(key for key in sorted({*known, *wanted}) if known.get(key) != wanted.get(key))
    return f"expected the {key} of the study that is there, got another"
